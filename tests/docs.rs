//! The documentation does what it says: the guides' commands are run, the plugin examples are
//! read by the protocol's own types, and the tests and files that are named exist.
//!
//! A guide's fenced blocks are marked in their info string. `sh guide` blocks are run in order by
//! one shell; a `text guide` or `yaml guide` block is what the block before it prints: its lines
//! must appear in that order, other lines may stand between, `…` stands for anything, and spaces
//! count once.
//!
//! What is different from a reader's machine: `/usr/local` and `/var/lib` lie below a temporary
//! directory (in commands, examples and expectations alike, and as the defaults, by
//! `ROUTERD_CONFIG` and `ROUTERD_STATE`), and `cargo build` lines are left out, since
//! `target/release` is what cargo built for this test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use routerd::api::plugin::{PluginRequest, PluginResult};

/// A guide that takes longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(120);

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The fenced blocks of a page: info string and text.
fn blocks(page: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in page.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(info)) => open = Some((info.trim().to_owned(), String::new())),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some((_, text)), None) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

/// A machine of its own for a guide, below a temporary directory.
struct Machine {
    root: tempfile::TempDir,
    source: PathBuf,
}

impl Machine {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let source = root.path().join("clone");
        fs::create_dir_all(source.join("target")).unwrap();
        let built = Path::new(env!("CARGO_BIN_EXE_routerd")).parent().unwrap();
        std::os::unix::fs::symlink(built, source.join("target/release")).unwrap();
        let machine = Self { root, source };
        machine.copy(&repository().join("examples"), &machine.source.join("examples"));
        machine
    }

    fn copy(&self, from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let to = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                self.copy(&entry.path(), &to);
            } else {
                fs::write(to, self.here(&fs::read_to_string(entry.path()).unwrap())).unwrap();
            }
        }
    }

    /// A text with the paths of this machine.
    fn here(&self, text: &str) -> String {
        let root = self.root.path().display();
        text.replace("/usr/local/", &format!("{root}/usr/local/"))
            .replace("/var/lib/", &format!("{root}/var/lib/"))
    }

    /// Runs the commands of all blocks in one shell and returns what each block printed.
    fn run(&self, commands: &[&str]) -> Vec<String> {
        const MARK: &str = "--- next block ---";
        let mut script = String::from("set -eu\ntrap 'kill $! 2>/dev/null || :; wait' EXIT\n");
        for block in commands {
            let lines = block.lines().filter(|line| !line.starts_with("cargo build"));
            lines.for_each(|line| script.extend([&self.here(line), "\n"]));
            script.extend(["echo '", MARK, "'\n"]);
        }
        let bin = |dir| self.root.path().join("usr/local").join(dir).display().to_string();
        let log = self.root.path().join("stderr");
        let child = Command::new("sh")
            .args(["-c", &script])
            .current_dir(&self.source)
            .env(
                "PATH",
                format!("{}:{}:{}", bin("sbin"), bin("bin"), std::env::var("PATH").unwrap()),
            )
            .env(
                "ROUTERD_CONFIG",
                self.here("/usr/local/etc/routerd/router.yaml:/usr/local/etc/routerd/manifests"),
            )
            .env("ROUTERD_STATE", self.here("/var/lib/routerd/routerd.db"))
            .env_remove("ROUTERD_SOCKET")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let pid = child.id().to_string();
        let (done, ended) = mpsc::channel();
        std::thread::spawn(move || done.send(child.wait_with_output()));
        let output = ended.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            // Its trap ends the daemon.
            _ = Command::new("kill").arg(&pid).status();
            panic!("the guide hangs:\n{}", fs::read_to_string(&log).unwrap())
        });
        let output = output.unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        let stderr = fs::read_to_string(&log).unwrap();
        assert!(output.status.success(), "{}:\n{stdout}\n{stderr}", output.status);
        assert!(!stdout.contains("did not stop cleanly"), "{stderr}");
        let mut printed: Vec<String> = stdout.split(MARK).map(str::to_owned).collect();
        printed.pop();
        printed
    }
}

/// Whether the lines that a guide shows appear in what was printed, in their order.
fn appears(shown: &str, printed: &str) -> Result<(), String> {
    let mut lines = printed.lines();
    for expected in shown.lines() {
        let pieces: Vec<String> = expected.split('…').map(spaces_once).collect();
        if !lines.any(|line| holds(&spaces_once(line), &pieces)) {
            return Err(format!("{expected:?} is not in what was printed:\n{printed}"));
        }
    }
    Ok(())
}

fn spaces_once(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn holds(line: &str, pieces: &[String]) -> bool {
    let mut rest = line;
    for (at, piece) in pieces.iter().enumerate() {
        match rest.find(piece.as_str()) {
            Some(found) if at > 0 || found == 0 => rest = &rest[found + piece.len()..],
            _ => return false,
        }
    }
    true
}

fn guide(path: &str) -> Vec<(String, String)> {
    let mut blocks = blocks(&read(path));
    blocks.retain(|(info, _)| info.ends_with(" guide"));
    blocks
}

fn follow(path: &str, steps: usize) {
    let guide = guide(path);
    if guide.iter().any(|(_, text)| text.contains("/usr/bin/env python3")) && !has_python() {
        println!("skipped: {path}, there is no python3");
        return;
    }
    let is_command = |(info, _): &&(String, String)| info == "sh guide";
    let commands: Vec<&str> = guide.iter().filter(is_command).map(|(_, b)| b.as_str()).collect();
    assert!(commands.len() >= steps, "{path} has only {} steps", commands.len());
    let machine = Machine::new();
    let mut printed = machine.run(&commands).into_iter();
    let mut last = String::new();
    for block in &guide {
        if is_command(&block) {
            last = printed.next().unwrap_or_default();
        } else if let Err(why) = appears(&machine.here(&block.1), &last) {
            panic!("{path}: {why}");
        }
    }
}

#[test]
fn the_guide_of_the_readme_does_what_it_says() {
    follow("README.md", 8);
}

fn has_python() -> bool {
    Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success())
}

#[test]
fn the_guide_to_a_plugin_does_what_it_says() {
    follow("docs/plugins.md", 8);
}

#[test]
fn the_japanese_guide_does_what_it_says() {
    follow("docs/ja/README.md", 8);
}

/// With `curl` and `openssl` as a client that shares no code with us.
#[test]
fn the_page_on_receiving_does_what_it_says() {
    for tool in [["curl", "--version"], ["openssl", "version"]] {
        if !Command::new(tool[0]).arg(tool[1]).output().is_ok_and(|o| o.status.success()) {
            return eprintln!("skipped: there is no {}", tool[0]);
        }
    }
    follow("docs/receiving.md", 4);
}

#[test]
fn both_guides_run_the_same_commands() {
    let commands = |path| {
        let guide = guide(path).into_iter();
        guide.filter(|(info, _)| info == "sh guide").map(|(_, text)| text).collect::<Vec<_>>()
    };
    assert_eq!(commands("README.md"), commands("docs/ja/README.md"));
}

#[test]
fn what_a_guide_shows_must_have_been_printed_in_its_order() {
    let printed = "first  line\nsecond line at 12\n";
    assert!(appears("first line\nsecond … 12\n", printed).is_ok());
    assert!(appears("second …\nfirst line\n", printed).is_err());
    assert!(appears("line\n", printed).is_err());
    assert!(appears("third\n", printed).is_err());
}

#[test]
fn the_examples_of_the_plugin_guide_are_read_by_the_protocol() {
    let mut seen = [0, 0];
    for (_, text) in blocks(&read("docs/plugins.md")).iter().filter(|(info, _)| info == "json") {
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        match value["kind"].as_str() {
            Some("PluginRequest") => {
                let request: PluginRequest = serde_json::from_str(text).unwrap();
                // Nothing is shown that a plugin is not sent, and nothing is left out.
                assert_eq!(serde_json::to_value(&request).unwrap(), value);
                seen[0] += 1;
            }
            Some("PluginResult") => {
                let result: PluginResult = serde_json::from_str(text).unwrap();
                assert!(result.status.ttl.is_some(), "a result needs a ttl");
                seen[1] += 1;
            }
            other => panic!("an example of another kind: {other:?}"),
        }
    }
    assert!(seen[0] > 0 && seen[1] > 1, "{seen:?} requests and results");
}

/// The page of Kinds, made from the commented manifests.
fn kinds_page() -> String {
    let mut page = String::from(
        "# The Kinds\n\n\
         A commented manifest of each Kind that people write; the same files are in `manifests/`,\n\
         with JSON Schemas beside them (`routerctl schema KIND`). All other Kinds are carried and\n\
         rendered word for word. What is accepted without an effect today stands in the README.\n",
    );
    let mut files: Vec<_> = fs::read_dir(repository().join("manifests"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .collect();
    files.sort();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let kind = text.lines().find_map(|line| line.strip_prefix("kind: ")).unwrap();
        page.extend(["\n## ", kind, "\n\n"]);
        let (head, body): (Vec<_>, Vec<_>) = {
            let at = text.lines().take_while(|line| line.starts_with('#')).count();
            (text.lines().take(at).collect(), text.lines().skip(at).collect())
        };
        for line in head {
            page.extend([line.trim_start_matches('#').trim_start(), "\n"]);
        }
        page.extend(["\n```yaml\n", &body.join("\n"), "\n```\n"]);
    }
    page
}

/// `UPDATE_DOCS=1 cargo test --test docs` writes the page anew.
#[test]
fn the_page_of_kinds_is_the_manifests() {
    let path = repository().join("docs/kinds.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, kinds_page()).unwrap();
    }
    assert!(read("docs/kinds.md") == kinds_page(), "docs/kinds.md is out of step with manifests/");
}

/// Every `tests/x.rs` or `src/y.rs` that a page names, with the functions named behind `::`.
fn names(page: &str) -> Vec<(String, Option<String>)> {
    // Fenced blocks would count as code that begins and ends elsewhere.
    let prose: String = page.split("```").step_by(2).collect();
    prose
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|code| {
            ["tests/", "src/", "benches/", "examples/"].iter().any(|d| code.starts_with(d))
        })
        .filter(|code| !code.contains([' ', '*', '<', '{']))
        .map(|code| match code.split_once("::") {
            Some((file, function)) => (file.to_owned(), Some(function.to_owned())),
            None => (code.to_owned(), None),
        })
        .collect()
}

#[test]
fn files_and_functions_that_the_pages_name_exist() {
    let mut missing = Vec::new();
    let mut functions = 0;
    for page in ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "docs/ja/README.md"] {
        for (file, function) in names(&read(page)) {
            let path = repository().join(&file);
            if !path.exists() {
                missing.push(format!("{page}: {file}"));
            } else if let Some(function) = function {
                functions += 1;
                let text = fs::read_to_string(&path).unwrap();
                // A method is named with its type.
                let name = function.rsplit("::").next().unwrap_or(&function);
                if !text.contains(&format!("fn {name}")) {
                    missing.push(format!("{page}: {file}::{function}"));
                }
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
    assert!(functions > 40, "only {functions} functions are named");
}

#[test]
fn what_the_interop_test_lacks_is_said_as_skipped() {
    let nowhere = tempfile::tempdir().expect("a directory");
    let bare = Command::new("/bin/sh")
        .arg(repository().join("tests/interop/run.sh"))
        .arg(nowhere.path())
        .arg(nowhere.path().join("venv"))
        .env("PATH", nowhere.path())
        .output()
        .expect("sh runs");
    let said = String::from_utf8_lossy(&bare.stdout);
    assert_eq!(said, "SKIPPED: interop: there is no python3\n");
}
