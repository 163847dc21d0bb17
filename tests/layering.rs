//! The layers point one way, and what is dangerous stands in one place.
//!
//! Reads the sources as text, without comments and strings, and holds each file to the table in
//! `src/lib.rs` and to the list of words that only certain files may use. It exists because
//! nothing else in a single crate keeps the pure parts pure.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Each layer with the layers that it may import beside itself; the same table as in `src/lib.rs`.
const LAYERS: &[(&str, &[&str])] = &[
    ("api", &[]),
    ("runtime", &[]),
    ("store", &["api"]),
    ("sources", &["api", "store", "runtime"]),
    ("plugin", &["api"]),
    ("render", &["api"]),
    ("controllers", &["api", "runtime", "store", "sources", "plugin", "render"]),
    ("federation", &["api", "store", "runtime"]),
    ("control", &["api", "store", "render", "runtime"]),
    // `plugin` and `controllers` for `plugin run` and `replay`: what an operator tries is run by the
    // operator's own process, never by the daemon, and judged as the daemon judges.
    ("cli", &["api", "control", "render", "store", "sources", "plugin", "controllers"]),
    ("daemon", EVERYTHING),
    // For programs beside this one: nothing in here uses it.
    ("kit", &["api"]),
];

const EVERYTHING: &[&str] = &[
    "api",
    "runtime",
    "store",
    "sources",
    "plugin",
    "render",
    "controllers",
    "federation",
    "control",
    "cli",
];

/// What the binaries may import: they parse, dispatch and give an exit code. `api` is there for
/// the traits of what they pass in.
const BINARIES: &[&str] = &["api", "cli", "daemon"];

/// Words (sequences of tokens) that only the named files or directories may use.
struct Reserved {
    what: &'static str,
    words: &'static [&'static [&'static str]],
    only_in: &'static [&'static str],
}

const RESERVED: &[Reserved] = &[
    Reserved { what: "sled", words: &[&["sled", "::"]], only_in: &["src/store/sled_engine.rs"] },
    Reserved {
        what: "unsafe code",
        words: &[&["unsafe"]],
        only_in: &[
            "src/store/fdatasync.rs",
            "src/plugin/inherited.rs",
            "src/bin/routerd/allocator.rs",
        ],
    },
    Reserved {
        what: "the wall clock",
        words: &[
            &["SystemTime", "::", "now"],
            &["Timestamp", "::", "now"],
            &["Time", "::", "now"],
            &["Zoned", "::", "now"],
        ],
        // Node time, and the tool's edge, which passes it on to the commands.
        only_in: &["src/sources/node_time.rs", "src/bin/routerctl.rs"],
    },
    Reserved {
        what: "starting processes",
        words: &[
            &["Command", "::", "new"],
            &["process", "::", "Command"],
            &["tokio", "::", "process"],
            &["CommandExt"],
        ],
        only_in: &["src/plugin/"],
    },
];

/// A word, `::`, or one other character; with the line it stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    text: String,
    line: usize,
}

/// The tokens of a source text. Comments, strings, characters and lifetimes leave none.
fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let (mut at, mut line) = (0, 1);
    let mut found: Vec<Token> = Vec::new();
    while at < chars.len() {
        let end = match chars[at] {
            '/' if chars.get(at + 1) == Some(&'/') => line_end(&chars, at),
            '/' if chars.get(at + 1) == Some(&'*') => comment_end(&chars, at),
            '"' => string_end(&chars, at),
            '\'' => quote_end(&chars, at),
            'r' | 'b' | 'c' if literal_prefix(&chars, at).is_some() => {
                let (quote, hashes) = literal_prefix(&chars, at).expect("just seen");
                literal_end(&chars, quote, hashes)
            }
            c if is_word(c) => {
                let end = at + chars[at..].iter().take_while(|c| is_word(**c)).count();
                found.push(Token { text: chars[at..end].iter().collect(), line });
                end
            }
            ':' if chars.get(at + 1) == Some(&':') => {
                found.push(Token { text: "::".into(), line });
                at + 2
            }
            c if c.is_whitespace() => at + 1,
            c => {
                found.push(Token { text: c.to_string(), line });
                at + 1
            }
        };
        line += chars[at..end].iter().filter(|c| **c == '\n').count();
        at = end;
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn line_end(chars: &[char], at: usize) -> usize {
    at + chars[at..].iter().take_while(|c| **c != '\n').count()
}

fn comment_end(chars: &[char], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0);
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at.min(chars.len())
}

fn string_end(chars: &[char], start: usize) -> usize {
    let mut at = start + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// The end of a character, or of the quote alone where a lifetime begins.
fn quote_end(chars: &[char], start: usize) -> usize {
    match (chars.get(start + 1), chars.get(start + 2)) {
        (Some('\\'), _) => {
            // The escaped character may itself be a quote.
            let from = (start + 3).min(chars.len());
            let rest = chars[from..].iter().take_while(|c| **c != '\'').count();
            (from + rest + 1).min(chars.len())
        }
        (Some(_), Some('\'')) => start + 3,
        // A lifetime: its name would be taken for a word, which none of the rules is about.
        _ => start + 1,
    }
}

/// Where the quote of a prefixed literal (`r#"…"#`, `b"…"`) stands, and, if it is raw, how many
/// hashes close it.
fn literal_prefix(chars: &[char], start: usize) -> Option<(usize, Option<usize>)> {
    if start > 0 && is_word(chars[start - 1]) {
        return None;
    }
    let letters = chars[start..].iter().take(3).take_while(|c| "rbc".contains(**c)).count();
    let hashes = chars[start + letters..].iter().take_while(|c| **c == '#').count();
    let quote = start + letters + hashes;
    let raw = chars[start..start + letters].contains(&'r');
    match chars.get(quote) {
        Some('"') if raw => Some((quote, Some(hashes))),
        Some('"') if hashes == 0 => Some((quote, None)),
        _ => None,
    }
}

fn literal_end(chars: &[char], quote: usize, raw: Option<usize>) -> usize {
    let Some(hashes) = raw else { return string_end(chars, quote) };
    let mut at = quote + 1;
    while at < chars.len() {
        let closes = chars[at] == '"'
            && chars[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes;
        at += 1;
        if closes {
            return at + hashes;
        }
    }
    at
}

/// What a file imports: the first module of each path that begins at the root of the crate.
struct Imports<'a> {
    tokens: &'a [Token],
    /// How deep the file's module lies: `src/a/b.rs` is 2. In a binary `crate` is its own.
    depth: Option<usize>,
    found: Vec<Token>,
}

impl<'a> Imports<'a> {
    fn of(tokens: &'a [Token], path: &str) -> Vec<Token> {
        let mut imports = Self { tokens, depth: depth(path), found: Vec::new() };
        imports.walk();
        imports.found
    }

    fn text(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| token.text.as_str())
    }

    fn walk(&mut self) {
        // Braces that are open, and of each whether it is an inline module's.
        let mut braces: Vec<bool> = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            let continues = at > 0 && self.text(at - 1) == "::";
            let inline = braces.iter().filter(|module| **module).count();
            match self.text(at) {
                "{" => braces.push(at >= 2 && self.text(at - 2) == "mod"),
                "}" => _ = braces.pop(),
                "routerd" if !continues && self.text(at + 1) == "::" => {
                    at = self.tree(at + 2, 0);
                    continue;
                }
                "crate" if !continues && self.text(at + 1) == "::" && self.depth.is_some() => {
                    at = self.tree(at + 2, 0);
                    continue;
                }
                "super" if !continues => {
                    if let Some(depth) = self.depth {
                        at = self.tree(at, depth + inline);
                        continue;
                    }
                }
                _ => {}
            }
            at += 1;
        }
    }

    /// Reads a path, or a tree of them, that continues a module `depth` deep; 0 is the root.
    /// Returns where it ends.
    fn tree(&mut self, mut at: usize, mut depth: usize) -> usize {
        loop {
            match self.text(at) {
                "super" => depth = depth.saturating_sub(1),
                "self" => {}
                "{" => {
                    at += 1;
                    while !matches!(self.text(at), "}" | "") {
                        at = self.tree(at, depth);
                        // A comma, or `as name`.
                        while !matches!(self.text(at), "," | "}" | "") {
                            at += 1;
                        }
                        at += usize::from(self.text(at) == ",");
                    }
                    return at + 1;
                }
                _ => {
                    if depth == 0 && at < self.tokens.len() {
                        self.found.push(self.tokens[at].clone());
                    }
                    // What comes after the first module stays within it.
                    depth = usize::MAX;
                }
            }
            if self.text(at + 1) != "::" {
                return at + 1;
            }
            at += 2;
        }
    }
}

/// How deep a file's module lies below the root; `None` for what belongs to a binary.
fn depth(path: &str) -> Option<usize> {
    let parts: Vec<&str> = path.strip_prefix("src/")?.split('/').collect();
    match (parts.first()?, parts.last()?) {
        (&"bin", _) => None,
        (_, &"lib.rs") => Some(0),
        (_, &"mod.rs") => Some(parts.len() - 1),
        _ => Some(parts.len()),
    }
}

/// The layer of a file, and what it may import.
fn layer(path: &str) -> Result<(&str, &'static [&'static str]), String> {
    let name = path.strip_prefix("src/").and_then(|rest| rest.split('/').next()).unwrap_or(path);
    let name = name.strip_suffix(".rs").unwrap_or(name);
    match name {
        "lib" => Ok((name, EVERYTHING)),
        "bin" => Ok((name, BINARIES)),
        _ => LAYERS
            .iter()
            .find(|(layer, _)| *layer == name)
            .map(|(_, imports)| (name, *imports))
            .ok_or_else(|| format!("{path}: {name} is no layer; add it to the table or move it")),
    }
}

/// What breaks the rules in one file, a line each.
fn check(path: &str, source: &str) -> Vec<String> {
    let (layer, may_import) = match layer(path) {
        Ok(layer) => layer,
        Err(complaint) => return vec![complaint],
    };
    let tokens = tokens(source);
    let mut complaints = Vec::new();
    for import in Imports::of(&tokens, path) {
        let name = import.text.as_str();
        // Macros and whatever else stands at the root itself is nobody's.
        let is_layer = LAYERS.iter().any(|(layer, _)| *layer == name);
        if name == "*" || (is_layer && name != layer && !may_import.contains(&name)) {
            complaints.push(format!("{path}:{}: {layer} may not import {name}", import.line));
        }
    }
    for reserved in RESERVED {
        if reserved.only_in.iter().any(|allowed| path.starts_with(allowed)) {
            continue;
        }
        for words in reserved.words {
            for window in tokens.windows(words.len()) {
                if window.iter().map(|token| token.text.as_str()).eq(words.iter().copied()) {
                    let line = window[0].line;
                    complaints.push(format!(
                        "{path}:{line}: {} belongs to {}",
                        reserved.what,
                        reserved.only_in.join(" and ")
                    ));
                }
            }
        }
    }
    complaints
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("the sources can be listed") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_source_file_keeps_to_its_layer() {
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    assert!(files.len() > 100, "only {} sources found", files.len());
    let mut complaints: Vec<String> = files
        .iter()
        .flat_map(|file| {
            let path = file.strip_prefix(root()).expect("below the root").to_str().expect("UTF-8");
            check(path, &fs::read_to_string(file).expect("a source can be read"))
        })
        .collect();
    complaints.sort();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn the_table_in_the_crates_first_page_is_the_one_that_is_enforced() {
    let page = fs::read_to_string(root().join("src/lib.rs")).expect("src/lib.rs can be read");
    let mut above = Vec::new();
    for (name, imports) in LAYERS {
        let said = match imports.len() {
            0 => "nothing of ours".to_owned(),
            _ if *imports == above => {
                if *name == "daemon" {
                    "all".to_owned()
                } else {
                    "all above".to_owned()
                }
            }
            _ => imports.join(", "),
        };
        let mut row = String::new();
        write!(row, "//! | [`{name}`] | {said} |").expect("memory does not fail");
        assert!(page.lines().any(|line| line == row), "src/lib.rs has no line {row:?}");
        above.push(*name);
    }
}

#[test]
fn every_reserved_place_is_there_and_uses_what_is_reserved_for_it() {
    for reserved in RESERVED {
        for place in reserved.only_in {
            let path = root().join(place);
            let mut files = Vec::new();
            if path.is_dir() {
                sources(&path, &mut files);
            } else {
                files.push(path);
            }
            let uses = files.iter().any(|file| {
                let source = fs::read_to_string(file).unwrap_or_default();
                let found = check("src/api/elsewhere.rs", &source);
                found.iter().any(|complaint| complaint.contains(reserved.what))
            });
            assert!(uses, "{place} has no use for {}: take it off the list", reserved.what);
        }
    }
}

/// The lines complained about.
fn lines(path: &str, source: &str) -> Vec<usize> {
    check(path, source)
        .iter()
        .map(|complaint| complaint.split(':').nth(1).and_then(|l| l.parse().ok()).expect(complaint))
        .collect()
}

#[test]
fn an_import_against_the_table_is_found_however_it_is_written() {
    for (path, source) in [
        ("src/api/event.rs", "use crate::store::Store;"),
        ("src/api/event.rs", "use crate::{value::Value, store::Store};"),
        ("src/api/event.rs", "use crate::{fact, store};"),
        ("src/api/event.rs", "use crate::*;"),
        ("src/api/event.rs", "fn f() -> crate::store::Store { todo!() }"),
        ("src/api/event.rs", "use super::super::store::Store;"),
        ("src/api/event.rs", "use super::{fact, super::store::Store};"),
        ("src/api/mod.rs", "use super::store::Store;"),
        ("src/api/kinds/mod.rs", "use super::super::store::Store;"),
        ("src/api/event.rs", "mod tests { use super::super::super::store::Store; }"),
        ("src/runtime/queue.rs", "use crate::api::Time;"),
        ("src/store/txn.rs", "use crate::runtime::Backoff;"),
        ("src/plugin/spawner.rs", "use crate::store::Store;"),
        ("src/render/index.rs", "use crate::store::Store;"),
        ("src/federation/mod.rs", "use crate::controllers::plan::plan;"),
        ("src/controllers/plan.rs", "use crate::control::server;"),
        ("src/controllers/plan.rs", "use crate::daemon;"),
        ("src/cli/mod.rs", "use crate::runtime::Backoff;"),
        ("src/kit.rs", "use crate::plugin::Exit;"),
        ("src/control/mod.rs", "use crate::cli::escape;"),
        ("src/bin/routerd.rs", "use routerd::store::Store;"),
        ("src/bin/routerd.rs", "use routerd::{daemon, store::Store};"),
    ] {
        assert_eq!(lines(path, source), [1], "{path}: {source}");
    }
}

#[test]
fn what_the_table_allows_passes() {
    for (path, source) in [
        ("src/api/event.rs", "use super::Time;\nuse crate::api::fact::FactId;"),
        ("src/api/kinds/decode.rs", "use super::super::event::Event;"),
        ("src/api/event.rs", "mod tests { use super::*; use super::super::fact; }"),
        ("src/api/event.rs", "fn store(crate_store: u8) {} pub(crate) fn g() { store(1) }"),
        ("src/store/txn.rs", "use crate::api::{Time, event::Event as Store};"),
        ("src/controllers/plan.rs", "use crate::{api, runtime::Queue, store::{self, Store}};"),
        ("src/controllers/plan.rs", "use std::store::Store; use tokio::runtime::Runtime;"),
        ("src/cli/commands/plugin/run.rs", "use crate::{controllers::trial, plugin};"),
        ("src/daemon/node.rs", "use crate::{cli, controllers::Shared, federation};"),
        ("src/bin/routerd.rs", "use routerd::daemon; mod store {} use crate::store;"),
        ("src/lib.rs", "pub mod api; pub use crate::store::Store;"),
    ] {
        assert_eq!(check(path, source), [""; 0], "{path}: {source}");
    }
}

#[test]
fn a_file_outside_the_layers_is_named() {
    assert_eq!(check("src/net/mod.rs", "").len(), 1);
    assert_eq!(check("src/routes.rs", "").len(), 1);
}

#[test]
fn what_is_reserved_is_found_outside_its_place_and_passes_inside() {
    for (word, place) in [
        ("let db = sled::open(path);", "src/store/sled_engine.rs"),
        ("unsafe { fdatasync(fd) }", "src/store/fdatasync.rs"),
        ("#[unsafe(no_mangle)] fn f() {}", "src/store/fdatasync.rs"),
        ("let now = SystemTime::now();", "src/sources/node_time.rs"),
        ("let now = jiff::Timestamp::now();", "src/sources/node_time.rs"),
        ("let now = jiff::Zoned\n::now();", "src/sources/node_time.rs"),
        ("let now = Time::now();", "src/bin/routerctl.rs"),
        ("Command::new(\"true\")", "src/plugin/launch.rs"),
        ("use std::process::Command;", "src/plugin/launch.rs"),
        ("use tokio::process;", "src/plugin/launch.rs"),
    ] {
        let elsewhere = "src/controllers/plan.rs";
        assert_eq!(lines(elsewhere, &format!("\n{word}")), [2], "{word}");
        assert_eq!(check(place, word), [""; 0], "{word}");
    }
}

#[test]
fn comments_strings_and_longer_words_break_no_rule() {
    for source in [
        "//! sled::Db and [`crate::store`] are named in `unsafe` words\nfn f() {}",
        "/* sled::open /* unsafe */ SystemTime::now() */ fn f() {}",
        "const S: &str = \"unsafe \\\" crate::store::Store\";",
        "const S: &str = r#\"unsafe \" crate::store::Store\"#;",
        "const S: &[u8] = b\"sled::open\"; const C: char = '\"'; const D: char = '\\'';",
        "fn f<'a>(x: &'a str) -> &'a str { x } #![allow(unsafe_code)]",
        "let now = Instant::now(); is_unsafe(now); my_sled::open();",
    ] {
        assert_eq!(check("src/api/event.rs", source), [""; 0], "{source}");
    }
    let after = "const C: char = '\"';\nconst D: char = '\\'';\nuse crate::store::Store;";
    assert_eq!(lines("src/api/event.rs", after), [3]);
}
