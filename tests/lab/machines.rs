//! The lab itself: its machines come up, lose their power, are cut off, go back in time, and leave nothing behind.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Test;
use crate::common::lab::{Lab, Running, Scene, eventually, lab_of};

pub(crate) const TESTS: &[Test] = &[
    ("machines::up_is_quick_and_down_leaves_nothing", up_is_quick_and_down_leaves_nothing),
    ("machines::come_and_go_after_everything_was_killed", come_and_go_after_everything_was_killed),
    ("machines::killed_up_is_begun_anew", killed_up_is_begun_anew),
    ("machines::of_two_labs_do_not_meet", of_two_labs_do_not_meet),
    ("machines::without_power_answer_nothing", without_power_answer_nothing),
    ("machines::cut_off_are_alone_and_go_on", cut_off_are_alone_and_go_on),
    ("machines::go_back_in_time_with_the_object_store", go_back_in_time_with_the_object_store),
    ("machines::restore_credential_cannot_write", restore_credential_cannot_write),
    ("machines::single_server_never_stops_writing", single_server_never_stops_writing),
    ("machines::killed_build_looks_like_no_image", killed_build_looks_like_no_image),
    ("machines::one_hactl_at_a_time", one_hactl_at_a_time),
];

/// Whether a machine can be pinged from another.
fn reaches(lab: &Lab, from: &str, to: &str) -> bool {
    lab.on(from, &format!("sudo ping -c1 -W1 {to}")).status == 0
}

fn up_is_quick_and_down_leaves_nothing() {
    drop(Lab::up("warm", Scene::Nodes(1))); // builds the image, where this is the first test that needs it
    let began = Instant::now();
    let lab = Lab::up("quick", Scene::Nodes(3));
    let took = began.elapsed();
    for node in ["node-1", "node-2", "node-3"] {
        assert_eq!(
            lab.read(node, "hostname; cat /proc/1/comm; id -un; sudo -n id -u"),
            format!("{node}\nsystemd\nops\n0")
        );
        assert_eq!(lab.read(node, "systemctl is-system-running"), "running");
    }
    // About three seconds; one that waits for a name server, a timeout or its neighbour takes much longer.
    eprintln!("three machines took {took:?}");
    assert!(took < Duration::from_secs(20), "three machines took {took:?}");
    let status = lab.lab(&["status"]);
    assert!(status.stdout.contains("node-2") && status.stdout.contains("stand-in"), "{status}");
    let name = lab.name().to_owned();
    assert_ne!(traces(&name), Vec::<String>::new(), "the check below must be able to see a lab");
    lab.must(&["down"]);
    assert_eq!(traces(&name), Vec::<String>::new());
    lab.must(&["down"]);
    assert_eq!(traces(&name), Vec::<String>::new());
    assert_eq!(lab_of(&name, &["status"]).status, 1);
}

fn come_and_go_after_everything_was_killed() {
    let lab = Lab::up("killed", Scene::Nodes(2));
    lab.read("node-1", "sudo touch /root/trace");
    kill_everything(&lab);
    assert_ne!(traces(lab.name()), Vec::<String>::new(), "something must be left, else this tests nothing");
    lab.must(&["up", "--nodes", "2"]);
    assert_ne!(lab.on("node-1", "sudo test -e /root/trace").status, 0, "it is a new machine");
    kill_everything(&lab);
    // After a restart of the computer only the lab's folder is there.
    for entry in fs::read_dir("/run/netns").unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if name == format!("hactl-{}", lab.name()) || name.starts_with(&format!("hactl-{}.", lab.name())) {
            assert!(Command::new("ip").args(["netns", "del", &name]).status().unwrap().success());
        }
    }
    lab.must(&["up", "--nodes", "1"]);
    kill_everything(&lab);
    lab.must(&["down"]);
    assert_eq!(traces(lab.name()), Vec::<String>::new());
}

fn killed_up_is_begun_anew() {
    let lab = Lab::up("halfway", Scene::Nodes(2));
    lab.must(&["down"]);
    for marker in ["state.json", "machines/node-1/upper", "machines/node-2/console.log"] {
        let mut up = Running::start(Path::new("/"), &["lab", "--name", lab.name(), "up", "--nodes", "2"]);
        let marker = format!("{}/{marker}", folder(&lab));
        eventually("it has got so far", Duration::from_secs(10), || {
            Path::new(&marker).exists() || up.ended()
        });
        up.kill();
        lab.must(&["up", "--nodes", "2"]);
        assert!(reaches(&lab, "node-1", "node-2"));
        lab.must(&["down"]);
        assert_eq!(traces(lab.name()), Vec::<String>::new());
    }
}

fn of_two_labs_do_not_meet() {
    let (one, two) = (Lab::up("one", Scene::Nodes(1)), Lab::up("two", Scene::Nodes(1)));
    let address = |lab: &Lab| lab.read("node-1", "hostname -I | cut -d' ' -f1");
    let (of_one, of_two) = (address(&one), address(&two));
    assert_ne!(of_one, of_two);
    assert!(reaches(&one, "node-1", &of_one));
    assert!(!reaches(&one, "node-1", &of_two));
    one.must(&["down"]);
    assert_eq!(two.read("node-1", "hostname"), "node-1");
    assert_eq!(traces(one.name()), Vec::<String>::new());
}

fn without_power_answer_nothing() {
    let lab = Lab::up("dark", Scene::Nodes(2));
    lab.read("node-1", "echo kept | sudo tee /root/kept");
    lab.must(&["kill", "node-1"]);
    let knock = "timeout 2 bash -c '</dev/tcp/node-1/22' 2>&1; echo $?";
    let said = lab.read("node-2", knock);
    assert!(!said.contains("refused") && !said.ends_with('0'), "{said}");
    assert!(lab.lab(&["status"]).stdout.lines().any(|l| l.contains("node-1") && l.contains(" off ")));
    lab.must(&["start", "node-1"]);
    assert_eq!(lab.read("node-1", "sudo cat /root/kept"), "kept");
    assert_eq!(lab.read("node-2", knock), "0");
    lab.must(&["power-cut"]);
    assert_ne!(lab.on("node-2", "true").status, 0);
    lab.must(&["start", "node-1"]);
    lab.must(&["start", "node-2"]);
    assert_eq!(lab.read("node-1", "sudo cat /root/kept"), "kept");
}

fn cut_off_are_alone_and_go_on() {
    let lab = Lab::up("cut", Scene::Nodes(2));
    let started = || lab.read("node-1", "systemctl show -P MainPID ssh; stat -c %Y /proc/1");
    let before = started();
    assert!(reaches(&lab, "node-2", "node-1"));
    lab.must(&["cut", "node-1"]);
    assert!(!reaches(&lab, "node-2", "node-1"));
    lab.must(&["heal", "node-1"]);
    eventually("the link is back", Duration::from_secs(5), || reaches(&lab, "node-2", "node-1"));
    assert_eq!(before, started(), "it was not restarted");
}

/// rclone on node-1, against the lab's object store, with one of its credentials.
fn rclone(lab: &Lab, credential: &str, line: &str) -> crate::common::cli::Ran {
    let folder = folder(lab);
    let key = |part: &str| fs::read_to_string(format!("{folder}/keys/s3-{credential}.{part}")).unwrap();
    let (key, secret) = (key("key"), key("secret"));
    lab.on(
        "node-1",
        &format!(
            "export RCLONE_CONFIG_S_TYPE=s3 RCLONE_CONFIG_S_PROVIDER=Other RCLONE_RETRIES=1 RCLONE_CONFIG=/dev/null \
             RCLONE_CONFIG_S_ENDPOINT=https://s3.lab:8443 RCLONE_CA_CERT=ca.pem RCLONE_CONFIG_S_ACCESS_KEY_ID={key} \
             RCLONE_CONFIG_S_SECRET_ACCESS_KEY={secret}; {line}"
        ),
    )
}

fn with_rclone(lab: &Lab) {
    let ca = fs::read_to_string(format!("{}/keys/lab-ca.pem", folder(lab))).unwrap();
    lab.read(
        "node-1",
        &format!("sudo apt-get install -y -q rclone >/dev/null && cat > ca.pem <<'END'\n{ca}\nEND"),
    );
}

/// Where the lab keeps what it is made of.
pub(crate) fn folder(lab: &Lab) -> String {
    let home = std::env::var("HACTL_LAB_DIR").unwrap_or_else(|_| "/var/lib/hactl-lab".into());
    format!("{home}/labs/{}", lab.name())
}

fn go_back_in_time_with_the_object_store() {
    let lab = Lab::up("snap", Scene::Nodes(1));
    with_rclone(&lab);
    let write = |text: &str| {
        lab.read("node-1", &format!("echo {text} | sudo tee /root/file"));
        let put = format!("rclone mkdir s:world && echo {text} | rclone rcat s:world/object");
        let ran = rclone(&lab, "operator", &put);
        assert_eq!(ran.status, 0, "{ran}");
    };
    let read = || {
        let ran = rclone(&lab, "operator", "sudo cat /root/file; rclone cat s:world/object");
        assert_eq!(ran.status, 0, "{ran}");
        ran.stdout
    };
    write("one");
    lab.must(&["snapshot", "first"]);
    assert_eq!(read(), "one\none\n");
    write("two");
    lab.must(&["snapshot", "second"]);
    write("three");
    lab.must(&["kill", "node-1"]);
    let began = Instant::now();
    lab.must(&["restore", "first"]);
    // Nothing is copied, so it is a boot: what would take longer than this waits for something that does not come.
    assert!(began.elapsed() < Duration::from_secs(45), "a restore must stay cheap: {:?}", began.elapsed());
    assert_eq!(read(), "one\none\n");
    lab.must(&["restore", "second"]);
    assert_eq!(read(), "two\ntwo\n");
    assert_eq!(lab.lab(&["restore", "third"]).status, 2);
}

fn restore_credential_cannot_write() {
    let lab = Lab::up("read", Scene::Nodes(1));
    with_rclone(&lab);
    let ran = rclone(&lab, "operator", "rclone mkdir s:bucket && echo x | rclone rcat s:bucket/o");
    assert_eq!(ran.status, 0, "{ran}");
    assert_eq!(rclone(&lab, "restore", "rclone cat s:bucket/o").stdout, "x\n");
    for line in ["echo y | rclone rcat s:bucket/o", "rclone deletefile s:bucket/o", "rclone mkdir s:another"]
    {
        assert_ne!(rclone(&lab, "restore", line).status, 0, "{line} was allowed");
    }
    assert_eq!(rclone(&lab, "operator", "rclone cat s:bucket/o").stdout, "x\n");
    // The store's other ports, which ask for no signature, are not on the bridge.
    let knock =
        |port: u16| lab.on("node-1", &format!("timeout 1 bash -c '</dev/tcp/s3.lab/{port}'")).status == 0;
    assert!(knock(8443));
    assert!(![8080, 8888, 9333, 18888].into_iter().any(knock));
}

fn single_server_never_stops_writing() {
    let lab = Lab::up("scene", Scene::SingleServer);
    let sql = |query: &str| lab.read("node-1", &format!("sudo -u postgres psql -XAt cell -c \"{query}\""));
    let count = || sql("select count(*) from provisioning_history").parse::<f64>().unwrap();
    let rate = || {
        let (before, began) = (count(), Instant::now());
        eventually("it writes", Duration::from_secs(30), || count() > before + 60.0);
        (count() - before) / began.elapsed().as_secs_f64()
    };
    let tps = rate();
    // Fewer where this computer is busy; `rate` waits for what there must be at least.
    assert!(tps < 30.0, "{tps} transactions a second");
    assert_eq!(sql("show data_checksums"), "on");
    assert_eq!(sql("select count(*) from tenants t join slots s on s.tenant_id = t.id"), "8000");
    assert_eq!(sql("select count(*) from pg_largeobject_metadata"), "1");
    lab.read("node-1", "sudo systemctl restart postgresql@17-main");
    // It writes on after a restart of the database.
    rate();
}

fn killed_build_looks_like_no_image() {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hactl"));
    command.args(["lab", "--name", "build", "up", "--nodes", "1"]).env("HACTL_LAB_DIR", home.path());
    let mut building = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = home.path().join("images/building/base/var");
    eventually("the build begins", Duration::from_secs(60), || begun.exists());
    building.kill().unwrap();
    building.wait().unwrap();
    let images = fs::read_dir(home.path().join("images")).unwrap().flatten().map(|e| e.file_name());
    let images: Vec<_> = images.filter(|name| name != "building" && name != "build.lock").collect();
    assert!(images.is_empty(), "{images:?}");
    // What the build had started ends with it, or a second build would meet it.
    let own = home.path().to_str().unwrap();
    eventually("every part of the killed build ends", Duration::from_secs(10), || {
        let ps = Command::new("ps").args(["-eo", "args"]).output().unwrap();
        !String::from_utf8_lossy(&ps.stdout).contains(own)
    });
    assert!(!fs::read_to_string("/proc/self/mountinfo").unwrap().contains(own));
}

fn one_hactl_at_a_time() {
    let lab = Lab::up("busy", Scene::Nodes(1));
    let lock = fs::File::open(format!("{}.lock", folder(&lab))).unwrap();
    lock.try_lock().unwrap();
    for line in [&["kill", "node-1"][..], &["snapshot", "one"], &["down"]] {
        let ran = lab.lab(line);
        assert_eq!(ran.status, 4, "{line:?} must be refused: {ran}");
        assert!(ran.stderr.contains("error[lab::busy]") && ran.stderr.contains("fuser"), "{ran}");
    }
    drop(lock);
    assert_eq!(lab.read("node-1", "hostname"), "node-1");
}

/// Ends every process of a lab from outside, as an out-of-memory killer or a person may.
fn kill_everything(lab: &Lab) {
    eventually("the lab's processes end", Duration::from_secs(20), || {
        let alive: Vec<String> = processes(lab.name()).into_iter().map(|(pid, _)| pid).collect();
        for pid in &alive {
            let _ = Command::new("kill").args(["-9", pid]).stderr(Stdio::null()).status();
        }
        alive.is_empty()
    });
}

/// The processes of a lab and their command lines, found by its name without hactl.
fn processes(name: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let pid = process.file_name().to_string_lossy().into_owned();
        let read = |file: &str| fs::read(process.path().join(file)).unwrap_or_default();
        let command = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
        let cgroup = String::from_utf8_lossy(&read("cgroup")).into_owned();
        // One that has ended, and that nobody has waited for, holds nothing any more.
        let ended = read("stat").rsplit(|b| *b == b')').next().is_none_or(|rest| rest.starts_with(b" Z"));
        let ours =
            command.contains(&format!("hactl-{name}.")) || cgroup.contains(&format!("hactl-lab/{name}/"));
        if pid.parse::<u32>().is_ok() && !ended && ours {
            found.push((pid, command));
        }
    }
    found
}

/// Everything on this computer that belongs to a lab.
fn traces(name: &str) -> Vec<String> {
    let needles = [format!("hactl-{name}"), format!("labs/{name}"), format!("hactl-lab/{name}")];
    // Another lab may have a name that begins with this one's.
    let ends = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-');
    let ours = |text: &str| needles.iter().any(|n| text.split(n.as_str()).skip(1).any(ends));
    let mut found: Vec<String> = processes(name).into_iter().map(|(_, command)| command).collect();
    let groups = ["", "unified/", "systemd/"].map(|h| format!("/sys/fs/cgroup/{h}hactl-lab"));
    let folders = ["/run/netns".to_owned(), "/var/lib/hactl-lab/labs".to_owned()];
    for dir in folders.iter().chain(&groups) {
        let there = fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path().display().to_string());
        found.extend(there.filter(|p| ours(p)));
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    found.extend(mounts.lines().filter(|l| ours(l)).map(str::to_owned));
    found
}
