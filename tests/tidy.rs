//! The rules of the tree that neither the compiler nor clippy checks: heads, sizes, who may import whom, which protocol
//! has a model, and that the documents speak of what is there.
//!
//! Sources are read as text. Comments and the insides of strings are blanked first, then all paths are collected, `use`
//! groups unfolded and `super` resolved; `the_reader_sees_what_it_should` shows that this finds what it is for.

#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]
#![expect(clippy::expect_used, reason = "this is a test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const FILE_LINES_MAX: usize = 400;
const FILE_LINES_NOTED: usize = 250;
const FUNCTION_LINES_MAX: usize = 70;
const LINE_CHARS_MAX: usize = 120;

/// One source file.
struct Source {
    /// From the crate's directory, with slashes.
    path: String,
    text: String,
    /// The text with comments, strings and character literals blanked; lines stay where they are.
    code: String,
}

impl Source {
    fn new(path: String, text: String) -> Self {
        let code = blanked(&text);
        Self { path, text, code }
    }

    fn is_in(&self, place: &str) -> bool {
        let rest = self.path.strip_prefix(place);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Has the test module a file of its own?
    fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    fn words(&self) -> impl Iterator<Item = &str> {
        self.code.split(|c: char| !is_name(c)).filter(|word| !word.is_empty())
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// All Rust files below these places, in order.
fn sources(places: &[&str]) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut waiting: Vec<_> = places.iter().map(|place| root.join(place)).collect();
    let mut found = Vec::new();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("a directory of the crate");
            waiting.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source file");
            let path = path.strip_prefix(root).expect("a path below the root");
            found.push(Source::new(path.to_string_lossy().replace('\\', "/"), text));
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!found.is_empty(), "{places:?} holds no sources");
    found
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| format!("{}: {error}", path.display()))
}

fn exists(path: &str) -> bool {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path).exists()
}

fn all() -> Vec<Source> {
    sources(&["src", "tests", "loom", "examples", "benches"])
}

fn must_be_empty(violations: &[String]) {
    assert!(violations.is_empty(), "{} violations:\n{}", violations.len(), violations.join("\n"));
}

/// Replaces comments, strings and character literals by spaces.
fn blanked(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after_name = code.chars().next_back().is_some_and(is_name);
        let length = if after_name { 0 } else { literal_or_comment(rest) };
        let (taken, next) = rest.split_at(length.max(first.len_utf8()));
        let blank = |c: char| if c == '\n' { c } else { ' ' };
        let put = |c: char| if length > 0 { blank(c) } else { c };
        code.extend(taken.chars().map(put));
        rest = next;
    }
    code
}

/// Bytes of the comment or literal that the text starts with; 0 if it starts with something else.
fn literal_or_comment(text: &str) -> usize {
    let through = |from: usize, end: &str| {
        text.get(from..).and_then(|rest| rest.find(end)).map_or(text.len(), |at| from + at + end.len())
    };
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return through(2, "*/");
    }
    let unprefixed = text.trim_start_matches(['b', 'c']);
    let prefix = text.len() - unprefixed.len();
    if let Some(raw) = unprefixed.strip_prefix('r').filter(|_| prefix <= 1) {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw.get(hashes..).is_some_and(|rest| rest.starts_with('"')) {
            return through(prefix + 1 + hashes + 1, &format!("\"{}", "#".repeat(hashes)));
        }
    }
    if prefix <= 1 && unprefixed.starts_with('"') {
        return prefix + quoted(unprefixed, '"');
    }
    let mut chars = unprefixed.chars();
    let is_char = chars.next() == Some('\'') && (chars.next() == Some('\\') || chars.next() == Some('\''));
    if prefix <= 1 && is_char { prefix + quoted(unprefixed, '\'') } else { 0 }
}

/// Bytes up to and including the closing quote.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = true;
    for (at, c) in text.char_indices() {
        if c == quote && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    text.len()
}

/// All paths of two names or more, and all of `use`, from the crate's root if they lead into the crate.
fn paths(source: &Source) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut rest = source.code.as_str();
    while let Some(at) = rest.find(is_name) {
        let before = rest.get(..at).unwrap_or_default();
        let text = rest.get(at..).unwrap_or_default();
        let end = text.find(|c: char| !is_name(c) && c != ':').unwrap_or(text.len());
        let (path, after) = text.split_at(end);
        rest = after;
        if path == "use" && !before.ends_with(['.', ':']) {
            let (tree, after) = after.split_once(';').unwrap_or((after, ""));
            unfold("", tree.trim(), &mut |path| {
                found.insert(resolved(&source.path, path));
            });
            rest = after;
        } else if path.contains("::") {
            found.insert(resolved(&source.path, path));
        }
    }
    found
}

/// Every path of a `use` tree.
fn unfold(prefix: &str, tree: &str, found: &mut dyn FnMut(&str)) {
    let Some((before, group)) = tree.split_once('{') else {
        let path = tree.split_whitespace().next().unwrap_or_default();
        return found(&format!("{prefix}{path}"));
    };
    let prefix = format!("{prefix}{}", before.trim());
    let group = group.trim().strip_suffix('}').unwrap_or(group);
    let (mut depth, mut start) = (0, 0);
    for (at, c) in group.char_indices().chain([(group.len(), ',')]) {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if c == ',' && depth == 0 {
            let member = group.get(start..at).unwrap_or_default().trim();
            start = at + 1;
            if !member.is_empty() {
                unfold(&prefix, member, found);
            }
        }
    }
}

/// Replaces `self` and `super` by where they lead from the file. Modules within a file count as the file.
fn resolved(file: &str, path: &str) -> String {
    let module = file.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    let mut here: Vec<_> = module.split('/').collect();
    let mut rest = path.trim_start_matches("self::");
    let is_relative = rest.len() < path.len() || rest.starts_with("super");
    while let Some(after) = rest.strip_prefix("super").filter(|after| !after.starts_with(is_name)) {
        here.pop();
        rest = after.trim_start_matches("::");
    }
    if !is_relative || !file.starts_with("src/") {
        return path.to_owned();
    }
    let names = ["crate"].into_iter().chain(here).chain([rest]);
    names.filter(|name| !name.is_empty()).collect::<Vec<_>>().join("::")
}

#[test]
fn the_reader_sees_what_it_should() {
    let text = "use std::{mem, sync::{Arc, Mutex as M}}; // crate::a::b\nuse super::x::*;\n\
                let s = \"crate::c\"; let r = br#\"crate::d\"#; let q = ('\\'', b'\"', 'a'); f::<'a>(); \
                crate::e::f();";
    let source = Source::new("src/one/two.rs".to_owned(), text.to_owned());
    let expected = ["crate::e::f", "crate::one::x::*", "f::", "std::mem", "std::sync::Arc", "std::sync::Mutex"];
    assert_eq!(paths(&source), expected.map(str::to_owned).into());
    assert_eq!(source.code.lines().count(), text.lines().count());
    assert_eq!(resolved("src/one/mod.rs", "super::storage::x"), "crate::storage::x");
    assert_eq!(resolved("src/a/b/c.rs", "super::super::d"), "crate::a::d");
    assert_eq!(functions("fn a() {\n    1\n}\n    fn b();\n").collect::<Vec<_>>(), [(1, 3), (4, 1)]);
    assert_eq!(lines_without_tests("a\n#[cfg(test)]\nmod tests {\n    b\n}\nc\n"), 2);
}

#[test]
fn every_source_starts_with_a_head() {
    let without = sources(&["src"]).into_iter().filter(|source| !source.text.starts_with("//! "));
    must_be_empty(&without.map(|source| format!("{}: no `//!` head", source.path)).collect::<Vec<_>>());
}

/// Lines outside of test modules.
fn lines_without_tests(text: &str) -> usize {
    let (mut count, mut testing) = (0, false);
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let is_test = line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(all(test");
        testing |= is_test && lines.peek().is_some_and(|next| next.starts_with("mod ") && next.ends_with('{'));
        count += usize::from(!testing);
        testing &= line != "}";
    }
    count
}

#[test]
fn files_are_short() {
    let mut violations = Vec::new();
    for source in sources(&["src"]).iter().filter(|source| !source.is_test()) {
        let lines = lines_without_tests(&source.text);
        if lines > FILE_LINES_MAX {
            violations.push(format!("{}: {lines} lines", source.path));
        } else if lines > FILE_LINES_NOTED {
            println!("note: {} has {lines} lines", source.path);
        }
    }
    must_be_empty(&violations);
}

/// First line, from 1, and count of lines of every function. Its end is the first brace that stands under its start,
/// which rustfmt makes sure of.
fn functions(code: &str) -> impl Iterator<Item = (usize, usize)> {
    let lines: Vec<_> = code.lines().collect();
    let is_start = |line: &str| {
        let mut words = line.split_whitespace();
        let modifier = |word: &&str| word.starts_with("pub") || ["const", "async", "default"].contains(word);
        words.find(|word| !modifier(word) && !word.ends_with(')')) == Some("fn")
    };
    let starts: Vec<_> = (0..lines.len()).filter(|at| lines.get(*at).is_some_and(|line| is_start(line))).collect();
    starts.into_iter().map(move |start| {
        let rest = lines.get(start..).unwrap_or_default();
        let indent = rest.first().map_or(0, |line| line.len() - line.trim_start().len());
        let body = rest.iter().position(|line| line.trim_end().ends_with(['{', ';', '}'])).unwrap_or(0);
        let has_body = rest.get(body).is_some_and(|line| line.trim_end().ends_with('{'));
        let end = format!("{}}}", " ".repeat(indent));
        let closing = rest.iter().position(|line| line.trim_end() == end).filter(|_| has_body);
        (start + 1, closing.unwrap_or(body) + 1)
    })
}

#[test]
fn functions_and_lines_are_short() {
    let mut violations = Vec::new();
    for source in all() {
        for (line, length) in functions(&source.code).filter(|(_, length)| *length > FUNCTION_LINES_MAX) {
            violations.push(format!("{}:{line}: a function of {length} lines", source.path));
        }
        for (line, text) in (1..).zip(source.text.lines()) {
            let length = text.chars().count();
            if length > LINE_CHARS_MAX {
                violations.push(format!("{}:{line}: {length} characters", source.path));
            }
        }
    }
    must_be_empty(&violations);
}

#[test]
fn sources_are_ascii_and_finished() {
    let mut violations = Vec::new();
    let unfinished = [
        concat!("#[ign", "ore"),
        concat!("to", "do!"),
        concat!("unimple", "mented!"),
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
    ];
    for source in all() {
        for (line, text) in (1..).zip(source.text.lines()) {
            if source.is_in("src") && !text.is_ascii() {
                violations.push(format!("{}:{line}: not ASCII", source.path));
            }
            for word in unfinished.iter().filter(|word| text.contains(**word)) {
                violations.push(format!("{}:{line}: {word}", source.path));
            }
        }
    }
    must_be_empty(&violations);
}

/// Modules of the crate that a part may name beside its own. The rest of the crate may name all.
const MAY_NAME: [(&str, &[&str]); 5] = [
    ("src/model", &[]),
    ("src/sync", &["model"]),
    ("src/protocol", &["model"]),
    ("src/state", &["model", "sync"]),
    ("src/storage", &["model", "sync"]),
];

#[test]
fn imports_go_one_way() {
    let mut violations = Vec::new();
    for (part, others) in MAY_NAME {
        for source in sources(&[part]).iter().filter(|source| !source.is_test()) {
            for path in paths(source) {
                let Some(inside) = path.strip_prefix("crate::") else { continue };
                let module = inside.split("::").next().unwrap_or_default();
                let is_own = part.ends_with(&format!("/{module}"));
                // What a run that has to be repeated returns is part of the application's interface.
                let is_abort = part == "src/state" && inside == "machine::Abort";
                if !is_own && !is_abort && !others.contains(&module) {
                    violations.push(format!("{} names {path}", source.path));
                }
            }
        }
    }
    must_be_empty(&violations);
}

#[test]
fn protocols_are_pure() {
    let forbidden =
        ["async", "await", "tokio", "ractor", "flume", "Mutex", "HashMap", "HashSet", "Instant", "SystemTime"];
    let mut violations = Vec::new();
    for source in sources(&["src/protocol"]) {
        let words = source.words().filter(|word| forbidden.contains(word));
        violations.extend(words.map(|word| format!("{} names {word}", source.path)));
        // A policy's interval is a value, which only tests have to make.
        let is_value = |path: &String| source.is_test() && path == "std::time::Duration";
        let outside = ["std::time", "std::fs", "std::io", "std::sync", "std::thread", "std::net"];
        let paths = paths(&source)
            .into_iter()
            .filter(|path| !is_value(path) && outside.iter().any(|place| path.starts_with(place)));
        violations.extend(paths.map(|path| format!("{} names {path}", source.path)));
    }
    must_be_empty(&violations);
}

#[test]
fn shared_memory_runtime_and_codec_have_one_place_each() {
    let mut violations = Vec::new();
    for source in sources(&["src"]) {
        let is_actors = ["src/actor", "src/runtime.rs", "src/runtime", "src/kv.rs", "src/kv", "src/lib.rs"]
            .iter()
            .any(|place| source.is_in(place));
        let is_sync = source.is_in("src/sync");
        // Nodes are copied on write, which loom's `Arc` cannot do, and no model runs the map.
        let is_state = source.is_in("src/state");
        // Its stall needs a condition variable, and no loom model runs the simulator.
        let is_simulator = source.is_in("src/storage/disk/sim");
        for path in paths(&source) {
            let first = path.split("::").next().unwrap_or_default();
            let is_allowed = match first {
                "std" if path.starts_with("std::sync") => {
                    is_sync || is_simulator || (is_state && path.starts_with("std::sync::Arc"))
                }
                "loom" => is_sync,
                "bincode" => source.path == "src/storage/codec.rs",
                "ractor" | "tokio" | "flume" => is_actors,
                _ => true,
            };
            if !is_allowed {
                violations.push(format!("{} names {path}", source.path));
            }
        }
    }
    must_be_empty(&violations);
}

/// Files of `src/sync` that need no model of their own.
const UNMODELLED: [(&str, &str); 3] = [
    ("shim", "is the switch to loom itself"),
    ("counters", "numbers for statistics decide nothing"),
    ("mutants", "is a constant under loom"),
];

/// Names of the modules that lie directly in a place.
fn modules(place: &str) -> BTreeSet<String> {
    let files = sources(&[place]);
    let names = files.iter().filter_map(|source| {
        let name = source.path.strip_prefix(place)?.strip_prefix('/')?;
        Some(name.strip_suffix(".rs").unwrap_or(name).split('/').next()?.to_owned())
    });
    names.filter(|name| name != "mod" && name != "main").collect()
}

#[test]
fn every_protocol_has_an_explorer_or_a_model_and_every_model_a_twin() {
    let (explorers, models) = (modules("tests/explore"), modules("loom"));
    let mut violations = Vec::new();
    for core in modules("src/protocol") {
        if !explorers.contains(&core) && !models.contains(&core) {
            violations.push(format!("src/protocol/{core}: neither explorer nor model"));
        }
    }
    for primitive in modules("src/sync") {
        // The shared half of a protocol has its model there.
        let model = match primitive.as_str() {
            "tenure" => "commit",
            "timeline" => "rollback",
            _ => &primitive,
        };
        let is_exempt = UNMODELLED.iter().any(|(name, _)| *name == primitive);
        if !is_exempt && !models.contains(model) {
            violations.push(format!("src/sync/{primitive}: no model loom/{model}.rs"));
        }
    }
    let main = read("loom/main.rs");
    for model in models.iter().filter(|model| *model != "support") {
        let text = read(&format!("loom/{model}.rs"));
        if !text.contains("#[should_panic") {
            violations.push(format!("loom/{model}.rs: no twin that must fail"));
        }
        if !main.contains(&format!("mod {model};")) {
            violations.push(format!("loom/{model}.rs: not part of loom/main.rs"));
        }
    }
    must_be_empty(&violations);
}

/// The first block of this language in a text.
fn block<'a>(text: &'a str, language: &str) -> &'a str {
    let fence = format!("```{language}\n");
    let inside = text.split_once(&fence).map_or("", |(_, inside)| inside);
    inside.split_once("```").map_or("", |(block, _)| block)
}

#[test]
fn documents_speak_of_what_is_there() {
    let (readme, library) = (read("README.md"), read("src/lib.rs"));
    let head: Vec<_> = library.lines().map_while(|line| line.strip_prefix("//!")).collect();
    let head: Vec<_> = head.iter().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    let example = block(&readme, "rust");
    assert!(!example.is_empty(), "README.md has no example");
    assert_eq!(example, block(&head.join("\n"), ""), "README.md and src/lib.rs show different examples");

    let cargo = read("Cargo.toml");
    let version = cargo.split_once("rust-version = \"").and_then(|(_, rest)| rest.split('"').next());
    let version = version.expect("a rust-version");
    assert!(readme.contains(&format!("Rust {version}")), "README.md does not name Rust {version}");

    let mut violations = Vec::new();
    for document in ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"] {
        let text = read(document);
        let words = text.split(|c: char| c.is_whitespace() || "`()[]|,;".contains(c));
        for word in words.map(|word| word.trim_end_matches(['.', ':', '/'])) {
            let places = ["src/", "tests/", "loom/", "examples/", "benches/", ".ci/"];
            let is_path = places.iter().any(|place| word.starts_with(place)) && !word.contains(['*', '<', '{']);
            if is_path && !exists(word) {
                violations.push(format!("{document}: {word} is not there"));
            }
        }
    }
    must_be_empty(&violations);
}
