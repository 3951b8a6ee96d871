//! Looking at a lab from the outside, by other programs than hactl: psql and dpkg on the machines, curl on the bucket.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::common::lab::{Lab, Workspace};

/// A statement by psql on `node-1`, as PostgreSQL's own superuser.
pub(crate) fn psql(lab: &Lab, database: &str, statement: &str) -> String {
    assert!(!statement.contains('\''), "it goes through a shell");
    lab.read("node-1", &format!("sudo -u postgres psql -XAtq -d {database} -c '{statement}'"))
}

/// Which configuration, units and packages a machine has, one a line; not what its daemons write all the time.
pub(crate) fn configuration(lab: &Lab, node: &str) -> Vec<String> {
    let script = r#"sudo sh -c '
        find /etc /usr/local /srv /home /root /opt -xdev -type f ! -path "/etc/mtab" -exec sha256sum {} +
        find /etc /usr/local /srv /home /root /opt -xdev -printf "%p %M %u:%g %l\n"
        find /var/lib/postgresql -xdev -name "*.conf" -exec sha256sum {} +
        find /var/lib/hactl /var/lib/pgbackrest /var/spool/pgbackrest -xdev -printf "%p %M %u:%g\n" 2>/dev/null
        systemctl list-unit-files --no-legend --no-pager
        dpkg-query -W -f "\${Package} \${Version} \${Status}\n"
        getent passwd; getent group
    ' | LC_ALL=C sort"#;
    lab.read(node, script).lines().map(str::to_owned).collect()
}

/// What differs between two configurations.
pub(crate) fn difference(before: &[String], after: &[String]) -> Vec<String> {
    let gone = before.iter().filter(|line| !after.contains(line)).map(|line| format!("- {line}"));
    let new = after.iter().filter(|line| !before.contains(line)).map(|line| format!("+ {line}"));
    gone.chain(new).collect()
}

/// The bucket, through curl's own S3 signatures.
pub(crate) struct Bucket<'a> {
    workspace: &'a Workspace<'a>,
    address: String,
    pub(crate) name: String,
}

impl<'a> Bucket<'a> {
    pub(crate) fn of(workspace: &'a Workspace<'a>) -> Self {
        let settings = std::fs::read_to_string(workspace.path().join("hactl.toml")).unwrap();
        let settings: toml::Table = toml::from_str(&settings).unwrap();
        let name = settings["s3"]["bucket"].as_str().unwrap().to_owned();
        let hosts = workspace.lab.read("node-1", "getent hosts s3.lab");
        let address = hosts.split_whitespace().next().unwrap().to_owned();
        Self { workspace, address, name }
    }

    /// The status and the body of a request.
    fn curl(&self, path: &str, more: &[&str], body: &[u8]) -> (u16, Vec<u8>) {
        let root = self.workspace.path();
        let secret = |part: &str| {
            std::fs::read_to_string(root.join("secrets").join(format!("s3-operator.{part}"))).unwrap()
        };
        let user = format!("user = \"{}:{}\"\n", secret("key").trim(), secret("secret").trim());
        let config = root.join(".curl");
        std::fs::write(&config, user).unwrap();
        let mut child = Command::new("nsenter")
            .arg(format!("--net=/run/netns/hactl-{}", self.workspace.lab.name()))
            .args(["curl", "-sS", "--max-time", "30", "-K"])
            .arg(&config)
            .arg("--cacert")
            .arg(root.join("lab-ca.pem"))
            .args(["--resolve", &format!("s3.lab:8443:{}", self.address)])
            .args(["--aws-sigv4", "aws:amz:lab:s3", "-w", "%{http_code}"])
            .args(more)
            .arg(format!("https://s3.lab:8443/{}{path}", self.name))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(body).unwrap();
        let output = child.wait_with_output().unwrap();
        std::fs::remove_file(&config).unwrap();
        assert!(output.status.success(), "curl {path} {more:?}");
        let split = output.stdout.len() - 3;
        let status = std::str::from_utf8(&output.stdout[split..]).unwrap().parse().unwrap();
        (status, output.stdout[..split].to_vec())
    }

    /// The keys of all objects below a prefix; nothing where the bucket does not exist.
    pub(crate) fn keys(&self, prefix: &str) -> Vec<String> {
        let mut keys: Vec<String> = Vec::new();
        loop {
            // The signature wants the parameters in this order.
            let after =
                keys.last().map_or_else(String::new, |last| format!("&start-after={}", in_query(last)));
            let path = format!("?list-type=2&prefix={}{after}", in_query(prefix));
            let (status, body) = self.curl(&path, &[], b"");
            if status == 404 {
                return keys;
            }
            let body = String::from_utf8(body).unwrap();
            assert_eq!(status, 200, "{body}");
            keys.extend(
                body.split("<Key>").skip(1).map(|rest| rest.split("</Key>").next().unwrap().to_owned()),
            );
            if !body.contains("<IsTruncated>true") {
                return keys;
            }
        }
    }

    pub(crate) fn exists(&self) -> bool {
        let (status, _) = self.curl("?list-type=2&prefix=", &[], b"");
        assert!(status == 200 || status == 404, "{status}");
        status == 200
    }

    pub(crate) fn get(&self, key: &str) -> Vec<u8> {
        let (status, body) = self.curl(&format!("/{}", quoted(key)), &[], b"");
        assert_eq!(status, 200, "{key}");
        body
    }

    pub(crate) fn put(&self, key: &str, body: &[u8]) {
        // Signed as a whole, the body is wanted in a file.
        let file = self.workspace.path().join(".body");
        std::fs::write(&file, body).unwrap();
        let (status, said) = self.curl(&format!("/{}", quoted(key)), &["-T", file.to_str().unwrap()], b"");
        std::fs::remove_file(&file).unwrap();
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&said));
    }

    pub(crate) fn delete(&self, key: &str) {
        let (status, _) = self.curl(&format!("/{}", quoted(key)), &["-X", "DELETE"], b"");
        assert_eq!(status, 204, "{key}");
    }
}

/// A key as a parameter of a URL.
fn in_query(key: &str) -> String {
    quoted(key).replace('/', "%2F")
}

/// A key as the path of a URL.
fn quoted(key: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/".contains(&b);
    key.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
