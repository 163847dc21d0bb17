//! A plugin that misbehaves on request: `badplugin MODE`. Each mode is one way in which a real
//! plugin goes wrong; the tests show what the daemon makes of it. Mode `ok` is a well-behaved one.

#![expect(clippy::zombie_processes, reason = "leaving processes behind is what it is for")]

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio, exit};
use std::time::Duration;

fn main() {
    let mode = std::env::args().nth(1).unwrap_or_default();
    match mode.as_str() {
        // Does not end, or not when asked to.
        "hang" => hang(),
        "ignore-term" => ignore_term("hang"),
        "stop-on-term" => exec_shell("trap 'echo cleaned up >&2; exit 0' TERM; while :; do sleep 0.02; done"),
        "never-read-stdin" => answer(&result(&json!([]))),
        "close-stdout-live-on" => {
            exec_shell("exec >&- 2>&-; while :; do sleep 1; done");
        }
        "drip" => drip(),

        // Leaves processes behind.
        "fork-children" => {
            for _ in 0..3 {
                start_self("ignore-term", true);
            }
            hang();
        }
        "leave-children" => {
            start_self("ignore-term", false);
            read_request();
            answer(&result(&json!([])));
        }
        "daemonise" => {
            // As daemons do: the one in the middle exits, and its child belongs to nobody here.
            own_group("daemonise-middle").wait().expect("wait");
            read_request();
            answer(&result(&json!([])));
        }
        "daemonise-middle" => drop(own_group("hang")),
        // Twenty generations, each in a group of its own: the death of one orphans the next.
        "daemonise-deep" => {
            let depth: u32 = std::env::args().nth(2).and_then(|d| d.parse().ok()).unwrap_or(0);
            if depth < 20 {
                let mut next = this_program("daemonise-deep");
                next.arg((depth + 1).to_string()).process_group(0);
                next.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                next.spawn().expect("spawn");
            }
            if depth > 0 {
                hang();
            }
            read_request();
            answer(&result(&json!([])));
        }
        // An orphan that stays in the group, beside a program that lives on.
        "orphan-in-group" => {
            try_start_self(&["leave-one"]).and_then(|mut middle| middle.wait()).expect("middle");
            hang();
        }
        "leave-one" => start_self("hang", false),
        "grandchild-holds-pipe" => {
            start_self("hang", true);
            read_request();
            answer(&result(&json!([])));
        }
        "escaped-holds-pipe" => {
            let mut held = this_program("hang");
            held.process_group(0).stdin(Stdio::null()).spawn().expect("spawn");
            read_request();
            answer(&result(&json!([])));
        }

        "many-children" => {
            let started = (0..64).filter(|_| try_start_self(&["hang"]).is_ok()).count();
            read_request();
            answer(&json!({"started": started}));
        }
        // Doubles itself eight times at most: 511 processes, if nobody stops it.
        "fork-bomb" => {
            let depth: u32 = std::env::args().nth(2).and_then(|d| d.parse().ok()).unwrap_or(0);
            if depth < 8 {
                for _ in 0..2 {
                    let _ = try_start_self(&["fork-bomb", &(depth + 1).to_string()]);
                }
            }
            hang();
        }

        // Takes too much.
        // Takes it after it was asked, or before anybody could stop it.
        "eat" | "eat-early" => {
            if mode == "eat" {
                read_request();
            }
            let mut eaten: Vec<Vec<u8>> = Vec::new();
            while eaten.len() < 512 {
                let mut piece = Vec::new();
                if piece.try_reserve_exact(1 << 20).is_err() {
                    break;
                }
                eaten.push(piece);
            }
            answer(&json!({"mebibytes": eaten.len()}));
        }
        // A hole takes no room on the disk, and counts as what it would hold. Asked first: whoever has
        // its request is under its limits.
        "large-file" => {
            read_request();
            std::fs::File::create("large").and_then(|file| file.set_len(1 << 30)).expect("grow");
        }

        // Writes too much.
        "flood-stdout" => flood(std::io::stdout(), u64::MAX),
        "flood-stderr" => flood(std::io::stderr(), u64::MAX),
        "one-gigabyte" => flood(std::io::stdout(), 1 << 30),
        "noisy" => {
            read_request();
            flood(std::io::stderr(), 1 << 20);
            eprintln!("the last line");
            answer(&result(&json!([])));
        }

        // Writes what is not a result.
        "silent" => read_request(),
        "binary" => write_stdout(&(0..=255).collect::<Vec<u8>>()),
        "bom" => write_stdout(format!("\u{feff}{}", result(&json!([]))).as_bytes()),
        "two-documents" => {
            let one = result(&json!([]));
            write_stdout(format!("---\n{one}\n---\n{one}\n").as_bytes());
        }
        "deep-nesting" => write_stdout("[".repeat(500_000).as_bytes()),
        "duplicate-keys" => write_stdout(
            br#"{"apiVersion":"plugin.routerd.net/v1alpha1","kind":"PluginResult","status":{"ttl":"30m","ttl":"1m"}}"#,
        ),
        "wrong-apiversion" => {
            let mut other = result(&json!([]));
            other["apiVersion"] = json!("plugin.routerd.net/v9");
            answer(&other);
        }
        "forbidden-kind" => answer(&result(&json!([{
            "apiVersion": "plugin.routerd.net/v1alpha1",
            "kind": "Plugin",
            "metadata": {"name": "smuggled"},
            "spec": {"executable": "/bin/sh"}
        }]))),
        "ttl-century" => {
            let mut long = result(&json!([]));
            long["status"]["ttl"] = json!("876000h");
            answer(&long);
        }

        // Ends badly.
        "exit-1" => exit_after_answer(1),
        "exit-126" => exit_after_answer(126),
        "exit-127" => exit_after_answer(127),
        "signal-with-valid-json" => {
            answer(&result(&json!([])));
            std::process::abort();
        }

        // Says what it was given.
        "dump" => dump(),
        "write-scratch" => {
            read_request();
            std::fs::create_dir("dir").and_then(|()| std::fs::write("dir/file", "x")).expect("write");
            dump();
        }
        "reach" => reach(&PathBuf::from(std::env::args().nth(2).expect("a directory"))),
        "echo" => {
            std::io::copy(&mut std::io::stdin(), &mut std::io::stdout()).expect("copy");
        }
        "ok" => {
            read_request();
            answer(&result(&json!([])));
        }
        other => {
            eprintln!("badplugin: no mode {other:?}");
            exit(2);
        }
    }
}

fn result(resources: &Value) -> Value {
    json!({
        "apiVersion": "plugin.routerd.net/v1alpha1",
        "kind": "PluginResult",
        "status": {"ttl": "30m", "resources": resources}
    })
}

fn read_request() {
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).expect("read stdin");
}

fn answer(value: &Value) {
    write_stdout(value.to_string().as_bytes());
}

fn write_stdout(bytes: &[u8]) {
    let mut out = std::io::stdout();
    out.write_all(bytes).and_then(|()| out.flush()).expect("write stdout");
}

fn exit_after_answer(code: i32) -> ! {
    answer(&result(&json!([])));
    exit(code)
}

fn hang() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(60));
    }
}

fn drip() -> ! {
    loop {
        write_stdout(b" ");
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Writes without end, also when nobody reads any more.
fn flood(mut to: impl Write, bytes: u64) {
    let line = [b"0123456789abcdef".repeat(255), b"0123456789abcde\n".to_vec()].concat();
    let mut written = 0;
    while written < bytes {
        let _ = to.write_all(&line);
        written += line.len() as u64;
    }
}

fn this_program(mode: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("own path"));
    command.arg(mode);
    command
}

/// A child in the same process group. With the pipes it can hold them open.
fn start_self(mode: &str, with_pipes: bool) {
    let mut command = this_program(mode);
    if !with_pipes {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    }
    command.spawn().expect("spawn");
}

fn try_start_self(args: &[&str]) -> std::io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn()
}

/// A child in its own process group, which a kill of ours misses.
fn own_group(mode: &str) -> Child {
    this_program(mode)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("spawn")
}

/// An ignored signal stays ignored in the executed program.
fn ignore_term(then: &str) -> ! {
    let me = std::env::current_exe().expect("own path");
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "trap '' TERM; exec \"$0\" \"$1\""]).arg(me).arg(then);
    panic!("exec: {}", shell.exec());
}

fn exec_shell(script: &str) -> ! {
    panic!("exec: {}", Command::new("/bin/sh").args(["-c", script]).exec());
}

/// Tries what a sandbox forbids, and what it does not.
fn reach(outside: &Path) {
    read_request();
    let own = std::env::current_dir().expect("own directory");
    let run = |program: &Path| Command::new(program).stdout(Stdio::null()).status().is_ok();
    let copied = std::fs::copy("/bin/true", "copy").is_ok();
    answer(&json!({
        "readShadow": std::fs::read("/etc/shadow").is_ok(),
        "readOutside": std::fs::read(outside.join("secret")).is_ok(),
        "listOutside": std::fs::read_dir(outside).is_ok(),
        "writeOutside": std::fs::write(outside.join("written"), "x").is_ok(),
        "truncateOutside": std::fs::File::create(outside.join("secret")).is_ok(),
        "removeOutside": std::fs::remove_file(outside.join("removable")).is_ok(),
        "linkOutside": std::fs::hard_link("copy", outside.join("linked")).is_ok(),
        "writeOwn": std::fs::write(own.join("own"), "x").is_ok(),
        "runSystem": run(Path::new("/bin/true")),
        "runOwn": copied && run(&own.join("copy")),
        "readHosts": std::fs::read("/etc/hosts").is_ok(),
        "inet": std::net::UdpSocket::bind("127.0.0.1:0").is_ok(),
        "unix": UnixDatagram::unbound().is_ok(),
        "pair": UnixDatagram::pair().is_ok(),
        "status": std::fs::read_to_string("/proc/self/status").expect("own status"),
    }));
}

fn dump() {
    let mut request = Vec::new();
    std::io::stdin().read_to_end(&mut request).expect("read stdin");
    let fds: BTreeMap<String, PathBuf> = std::fs::read_dir("/proc/self/fd")
        .expect("own descriptors")
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let target = std::fs::read_link(entry.path()).ok()?;
            // The descriptor of this very listing is not one that was inherited.
            let listing = target.to_string_lossy().ends_with("/fd");
            (!listing).then(|| (entry.file_name().to_string_lossy().into_owned(), target))
        })
        .collect();
    answer(&json!({
        "args": std::env::args().collect::<Vec<_>>(),
        "env": std::env::vars().collect::<BTreeMap<_, _>>(),
        "cwd": std::env::current_dir().expect("own directory"),
        "cwdEntries": std::fs::read_dir(".").expect("own directory").count(),
        "fds": fds,
        "limits": std::fs::read_to_string("/proc/self/limits").expect("own limits"),
        "status": std::fs::read_to_string("/proc/self/status").expect("own status"),
        "stdinBytes": request.len(),
    }));
}
