//! An HTTP server that says, request by request, what it was told to say: right answers, wrong ones, and none.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What is said to one request.
#[derive(Clone, Debug)]
pub(crate) enum Say {
    /// A status and a body.
    Answer(u16, String),
    /// The same, with headers.
    With(&'static [(&'static str, &'static str)], u16, String),
    /// Nothing: the request is read, then the connection ends.
    Drop,
    /// Half an answer.
    Half,
    /// Nothing, for longer than anybody waits.
    Hang,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) line: String,
    pub(crate) token: Option<String>,
}

/// The server. It ends with the process.
#[derive(Debug)]
pub(crate) struct Scripted {
    pub(crate) endpoint: String,
    script: Arc<Mutex<VecDeque<Say>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Scripted {
    pub(crate) fn saying(script: impl IntoIterator<Item = Say>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}/v1", listener.local_addr().unwrap());
        let script: Arc<Mutex<VecDeque<Say>>> = Arc::new(Mutex::new(script.into_iter().collect()));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (says, notes) = (Arc::clone(&script), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (says, notes) = (Arc::clone(&says), Arc::clone(&notes));
                std::thread::spawn(move || serve(stream.unwrap(), &says, &notes));
            }
        });
        Self { endpoint, script, asked }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// How many requests with this method there were.
    pub(crate) fn count(&self, method: &str) -> usize {
        self.asked().iter().filter(|asked| asked.line.starts_with(method)).count()
    }

    /// What was not said yet.
    pub(crate) fn left(&self) -> usize {
        self.script.lock().unwrap().len()
    }
}

fn serve(stream: TcpStream, script: &Mutex<VecDeque<Say>>, asked: &Mutex<Vec<Asked>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut line, mut token, mut length) = (String::new(), None, 0);
    // A connection that is opened and not used is no request.
    if reader.read_line(&mut line).unwrap_or(0) == 0 {
        return;
    }
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header).unwrap_or(0) == 0 || header.trim().is_empty() {
            break;
        }
        let (name, value) = header.trim().split_once(": ").unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "authorization" => token = Some(value.to_owned()),
            "content-length" => length = value.parse().unwrap(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let line = line.trim().trim_end_matches(" HTTP/1.1").to_owned();
    asked.lock().unwrap().push(Asked { line, token });
    let say = script.lock().unwrap().pop_front();
    let (headers, status, body): (&[_], _, _) = match say {
        Some(Say::Answer(status, body)) => (&[], status, body),
        Some(Say::With(headers, status, body)) => (headers, status, body),
        None => (&[], 418, r#"{"error":{"code":"script","message":"nothing more was expected"}}"#.into()),
        Some(Say::Drop) => return,
        Some(Say::Half) => {
            let _ = (&stream).write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"ssh_ke");
            return;
        }
        Some(Say::Hang) => {
            // Until the other side gives up.
            let _ = stream.set_read_timeout(Some(Duration::from_secs(60)));
            let _ = (&stream).read(&mut [0; 1]);
            return;
        }
    };
    let mut text =
        format!("HTTP/1.1 {status} said\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    let _ = (&stream).write_all(format!("{text}\r\n{body}").as_bytes());
}
