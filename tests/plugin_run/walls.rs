//! What `spec.sandbox` asks for, against real processes: each test shows what the plugin can do
//! without the wall, and that it cannot with it. Where this host cannot put it up, it says so.

use super::*;
use routerd::plugin::{Availability, Walls};
use std::os::unix::fs::MetadataExt;

/// What of these walls is missing here.
fn missing(host: &Host, walls: &Walls) -> Option<String> {
    host.spawner.walls(walls).into_iter().find_map(|state| match state.state {
        Availability::NotAvailable(why) => Some(format!("{}: {why}", state.wall)),
        Availability::Enforced | Availability::EnforcedBut(_) => None,
    })
}

fn walled(walls: Walls, mut spec: RunSpec) -> RunSpec {
    spec.confinement = Confinement::Walled(walls);
    spec
}

/// A user of this machine that is not root, for one test alone: processes are counted by user.
fn user(number: usize) -> Option<String> {
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    let mut others = passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, uid) = (fields.next()?, fields.nth(1)?);
        (uid != "0").then(|| name.to_owned())
    });
    others.nth(number)
}

/// The program where every user may execute it, and a host whose directories they may pass.
fn for_others() -> (Host, PathBuf) {
    let host = Host::new();
    let dir = host.scratch.path();
    fs::set_permissions(dir, Permissions::from_mode(0o755)).unwrap();
    let program = dir.join("badplugin");
    fs::copy(badplugin(), &program).unwrap();
    (host, program)
}

fn field(status: &Value, name: &str) -> Vec<String> {
    let status = status["status"].as_str().unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().map(str::to_owned).collect()
}

/// A directory of somebody else's with something in it.
fn outside() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    for name in ["secret", "removable"] {
        fs::write(dir.path().join(name), "x").unwrap();
    }
    dir
}

async fn reached(host: &Host, walls: Option<Walls>) -> Value {
    let outside = outside();
    let args = vec!["reach".to_owned(), outside.path().to_str().unwrap().to_owned()];
    let spec = RunSpec { args, ..spec("reach") };
    let spec = match walls {
        Some(walls) => walled(walls, spec),
        None => spec,
    };
    json(&host.run(spec).await)
}

const NO_CAPABILITY: &str = "0000000000000000";

#[tokio::test]
async fn landlock_leaves_a_readable_system_and_the_own_directory() {
    let host = Host::new();
    let walls = Walls { landlock: true, ..Walls::default() };
    if let Some(why) = missing(&host, &walls) {
        println!("skipped: {why}");
        return;
    }
    let forbidden = [
        "readOutside",
        "listOutside",
        "writeOutside",
        "truncateOutside",
        "removeOutside",
        "linkOutside",
        "runOwn",
    ];
    let allowed = ["writeOwn", "runSystem", "readHosts", "inet"];

    let free = reached(&host, None).await;
    for what in forbidden.iter().chain(&allowed) {
        assert_eq!(free[what], true, "{what} without a wall: {free:#}");
    }
    let is_root = fs::metadata(host.scratch.path()).unwrap().uid() == 0;
    assert_eq!(free["readShadow"], is_root && Path::new("/etc/shadow").exists());

    let kept = reached(&host, Some(walls)).await;
    for what in forbidden {
        assert_eq!(kept[what], false, "{what} behind the wall: {kept:#}");
    }
    assert_eq!(kept["readShadow"], false);
    for what in allowed {
        assert_eq!(kept[what], true, "{what} behind the wall: {kept:#}");
    }
    assert_eq!(field(&kept, "CapEff:"), [NO_CAPABILITY], "nor is it root in disguise");
    assert_eq!(field(&kept, "CapPrm:"), [NO_CAPABILITY]);
}

#[tokio::test]
async fn without_a_network_there_are_no_sockets() {
    let host = Host::new();
    let walls = Walls { no_network: true, ..Walls::default() };
    if let Some(why) = missing(&host, &walls) {
        println!("skipped: {why}");
        return;
    }
    let free = reached(&host, None).await;
    let kept = reached(&host, Some(walls)).await;
    for what in ["inet", "unix"] {
        assert_eq!(free[what], true, "{what} without a wall: {free:#}");
        assert_eq!(kept[what], false, "{what} behind the wall: {kept:#}");
    }
    assert_eq!(kept["pair"], true, "a pair leads nowhere");
    assert_eq!(kept["readOutside"], true, "files are another wall's");
    assert_eq!(field(&kept, "Seccomp:"), ["2"]);
    assert_eq!(field(&kept, "CapEff:"), [NO_CAPABILITY]);
}

#[tokio::test]
async fn another_user_has_its_own_directory_and_nothing_of_ours() {
    let (host, program) = for_others();
    let Some(user) = user(0) else { return println!("skipped: there is no other user") };
    let walls = Walls { user: Some(user.clone()), ..Walls::default() };
    if let Some(why) = missing(&host, &walls) {
        println!("skipped: {why}");
        return;
    }
    let outside = outside();
    let args = vec!["reach".to_owned(), outside.path().to_str().unwrap().to_owned()];
    let asked = RunSpec { executable: program.clone(), args, ..spec("reach") };
    let seen = json(&host.run(walled(walls.clone(), asked)).await);
    assert_eq!(seen["writeOwn"], true, "by its absolute path: {seen:#}");
    for what in ["readShadow", "writeOutside", "truncateOutside", "removeOutside"] {
        assert_eq!(seen[what], false, "{what}: {seen:#}");
    }
    let uid = field(&seen, "Uid:");
    assert!(uid.iter().all(|id| id != "0" && *id == uid[0]), "{user}: {uid:?}");
    assert!(field(&seen, "Gid:").iter().all(|id| id != "0"));
    assert_eq!(field(&seen, "Groups:"), [""; 0]);
    assert_eq!(field(&seen, "CapEff:"), [NO_CAPABILITY]);
    assert_eq!(field(&seen, "NoNewPrivs:"), ["1"]);

    // It is no longer ours by uid, and is ended all the same.
    for mode in ["ignore-term", "fork-children"] {
        let asked = RunSpec { executable: program.clone(), ..short(mode) };
        let outcome = host.run(walled(walls.clone(), asked)).await;
        assert_eq!(outcome.exit, Exit::TimedOut, "{mode}");
    }
    let asked = RunSpec { executable: program, ..spec("daemonise") };
    assert!(host.run(walled(walls, asked)).await.exit.success());
}

#[tokio::test]
async fn all_walls_together_and_a_pin_still_run_an_honest_plugin() {
    let (host, program) = for_others();
    let Some(user) = user(1) else { return println!("skipped: there is no other user") };
    let walls = Walls {
        user: Some(user),
        landlock: true,
        no_network: true,
        memory: Some(1 << 30),
        processes: Some(64),
    };
    if let Some(why) = missing(&host, &walls) {
        println!("skipped: {why}");
        return;
    }
    let asked =
        RunSpec { sha256: Some(digest_of(&program)), executable: program.clone(), ..spec("ok") };
    let outcome = host.run(walled(walls.clone(), asked)).await;
    assert_eq!(json(&outcome)["kind"], "PluginResult");
    let dumped =
        json(&host.run(walled(walls, RunSpec { executable: program, ..spec("dump") })).await);
    let (pipes, others) = standard_and_other_fds(&dumped);
    assert!(pipes.iter().all(|target| target.starts_with("pipe:")), "{pipes:?}");
    assert_eq!(others, inherited_by_this_test());
}

#[tokio::test]
async fn memory_is_limited() {
    let host = Host::new();
    let eaten = |outcome: &Outcome| json(outcome)["mebibytes"].as_u64().unwrap();
    assert_eq!(eaten(&host.run(spec("eat")).await), 512);
    let walls = Walls { memory: Some(128 << 20), ..Walls::default() };
    let limited = eaten(&host.run(walled(walls.clone(), spec("eat"))).await);
    assert!((1..128).contains(&limited), "{limited} MiB");
    // Whether it was there before its limit depends on the machine; that it keeps nothing does not.
    let early = host.run(walled(walls, spec("eat-early"))).await;
    assert!(early.exit == Exit::Signal(9) || eaten(&early) < 128, "{early:?}");
}

#[tokio::test]
async fn processes_are_limited() {
    let (host, program) = for_others();
    let Some(user) = user(2) else { return println!("skipped: there is no other user") };
    let walls = Walls { user: Some(user), processes: Some(16), ..Walls::default() };
    if let Some(why) = missing(&host, &walls) {
        println!("skipped: {why}");
        return;
    }
    let asked = |spec| RunSpec { executable: program.clone(), ..spec };
    let started = |outcome: &Outcome| json(outcome)["started"].as_u64().unwrap();
    assert_eq!(started(&host.run(asked(spec("many-children"))).await), 64);
    let limited = host.run(walled(walls.clone(), asked(spec("many-children")))).await;
    assert!(started(&limited) < 16, "{limited:?}");

    let bomb = walled(walls, asked(short("fork-bomb")));
    let label = bomb.label.clone();
    let mut most = 0;
    let run = host.run(bomb);
    tokio::pin!(run);
    let outcome = loop {
        tokio::select! {
            outcome = &mut run => break outcome,
            () = tokio::time::sleep(Duration::from_millis(5)) => {
                most = most.max(processes_of(&label).len());
            }
        }
    };
    assert_eq!(outcome.exit, Exit::TimedOut);
    assert!((1..=16).contains(&most), "{most} at the same time");
}

#[tokio::test]
async fn processes_need_a_user_and_without_one_nothing_is_run() {
    let host = Host::new();
    let walls = Walls { processes: Some(16), ..Walls::default() };
    let error = host.try_run(walled(walls, spec("ok"))).await.unwrap_err();
    let message = error.to_string();
    assert!(message.contains("sandbox.processes") && message.contains("sandbox.user"), "{message}");
    let walls = Walls { user: Some("no-such-user".into()), ..Walls::default() };
    let message = host.try_run(walled(walls, spec("ok"))).await.unwrap_err().to_string();
    assert!(message.contains("no-such-user") && message.contains("create it"), "{message}");
}

#[tokio::test]
async fn a_pinned_script_behind_walls_is_refused_with_a_way_out() {
    let host = Host::new();
    let walls = Walls { no_network: true, ..Walls::default() };
    if let Some(why) = missing(&host, &walls) {
        println!("skipped: {why}");
        return;
    }
    let (_dir, path) = script("#!/bin/sh\necho run\n");
    let pinned = RunSpec { executable: path.clone(), sha256: Some(digest_of(&path)), ..spec("") };
    let error = host.try_run(walled(walls.clone(), pinned.clone())).await.unwrap_err();
    assert!(error.to_string().contains("take out sha256 or the walls"), "{error}");
    let unpinned = RunSpec { sha256: None, ..pinned };
    assert_eq!(host.run(walled(walls, unpinned)).await.stdout, "run\n");
}

#[tokio::test]
async fn every_plugin_has_limits_and_no_way_to_more_privileges_and_a_hook_is_left_as_it_is() {
    let host = Host::new();
    let limit = |dump: &Value, name: &str| {
        let limits = dump["limits"].as_str().unwrap();
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    let plugin = json(&host.run(spec("dump")).await);
    assert_eq!(field(&plugin, "NoNewPrivs:"), ["1"]);
    assert_eq!(limit(&plugin, "Max core file size"), ["0", "0"]);
    assert_eq!(limit(&plugin, "Max open files"), ["1024", "1024"]);
    assert_eq!(limit(&plugin, "Max file size"), ["268435456", "268435456"]);
    let outcome = host.run(spec("large-file")).await;
    assert_eq!(outcome.exit, Exit::Signal(25), "SIGXFSZ: {outcome:?}");

    let hook = RunSpec { confinement: Confinement::Hook, ..spec("dump") };
    let hook = json(&host.run(hook).await);
    assert_eq!(field(&hook, "NoNewPrivs:"), ["0"]);
    assert_eq!(limit(&hook, "Max file size")[0], "unlimited");
}
