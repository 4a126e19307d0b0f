//! How the server starts, what it says when it does or does not, and where it listens.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::SEGMENT_HEADER_BYTES;
use crate::resp::{Raw, Server, directory, refused};

fn must_refuse(dir: &Path, flags: &[&str], code: i32, says: &str) {
    let (found, said) = refused(dir, flags);
    assert_eq!(found, Some(code), "{said}");
    assert!(said.contains(says), "{said}");
}

/// Guards F21, F29, F68: whoever starts the server learns from the code alone what is wrong.
#[test]
fn exit_codes_tell_what_is_wrong() {
    let dir = directory();
    let data = dir.path().join("data");
    must_refuse(&data, &["--bogus"], 2, "--bogus");
    must_refuse(&data, &["--sync", "sometimes"], 2, "interval:MS");
    must_refuse(&data, &["--bind", "0.0.0.0"], 2, "--allow-remote");
    must_refuse(&data, &["--shards", "0"], 2, "shards");
    must_refuse(&data, &["--memory", "much"], 2, "auto, unlimited");
    must_refuse(&data, &["--spill", "perhaps"], 2, "yes or no");
    must_refuse(&data, &["--shards", "2", "--memory", "1000"], 2, "at least 16777216");
    must_refuse(&data, &["--keep-versions", "0"], 2, "--keep-versions");
    must_refuse(&data, &["--snapshot-bytes", "x"], 2, "--snapshot-bytes");
    must_refuse(&data, &["--snapshot-commands", "1.5"], 2, "--snapshot-commands");
    must_refuse(&dir.path().join("no/data"), &[], 5, "no/data");
    assert!(!data.exists());

    let server = Server::start(&data, &["--shards", "2", "--sync", "interval:5"]);
    server.connect().line("SET a b", "+OK");
    must_refuse(&data, &[], 4, "in use");
    let port = server.address.port().to_string();
    must_refuse(&dir.path().join("other"), &["--port", &port], 5, "in use");
    assert_eq!(server.signal("TERM").code(), Some(0));
    must_refuse(&data, &["--shards", "3"], 2, "2 shards");

    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    must_refuse(&file, &[], 2, "not a directory");
}

/// Guards F12, F20, F28: damage ends a start, and every byte stays where it is.
#[test]
fn damage_is_told_and_nothing_is_touched() {
    let dir = directory();
    let server = Server::start(dir.path(), &["--shards", "2"]);
    server.connect().line("SET a b", "+OK");
    assert_eq!(server.signal("TERM").code(), Some(0));
    for path in [dir.path().join("CURRENT"), segment_with_frames(dir.path())] {
        let whole = fs::read(&path).unwrap();
        let mut damaged = whole.clone();
        // The first byte of the first frame, if it is a segment.
        let at = if damaged.len() > SEGMENT_HEADER_BYTES { SEGMENT_HEADER_BYTES } else { 1 };
        damaged[at] ^= 0x40;
        fs::write(&path, &damaged).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        must_refuse(dir.path(), &[], 3, &name);
        assert_eq!(fs::read(&path).unwrap(), damaged);
        fs::write(&path, &whole).unwrap();
    }
    Server::start(dir.path(), &[]).connect().line("GET a", "$1\r\nb");
}

/// The segment that has something behind its header.
fn segment_with_frames(dir: &Path) -> PathBuf {
    let shards = [dir.join("shard-0"), dir.join("shard-1")];
    let files = shards.iter().flat_map(|shard| fs::read_dir(shard).unwrap());
    let mut paths = files.map(|file| file.unwrap().path());
    let has_frames = |path: &PathBuf| {
        let bytes = fs::read(path).unwrap();
        bytes.iter().skip(SEGMENT_HEADER_BYTES).any(|byte| *byte != 0)
    };
    paths.find(has_frames).unwrap()
}

/// Guards against output that whoever waits for the line would have to tell apart: one line, and silence. Every test
/// that ends a server in good order looks at the second half.
#[test]
fn it_prints_one_line() {
    let dir = directory();
    let server = Server::start(dir.path(), &["--shards", "2"]);
    assert_eq!(server.line, format!("ready 127.0.0.1:{}\n", server.address.port()));
    let mut raw = server.connect();
    raw.line("SET a 1", "+OK");
    raw.send("NONSENSE\r\n*1\r\n:\r\n");
    raw.read_line();
    raw.read_line();
    raw.expect_end();
    assert_eq!(server.terminate(), (Some(0), String::new(), String::new()));
}

/// Guards against a server without a password that other machines can reach because nobody said that they must not.
#[test]
fn it_listens_for_other_machines_only_when_told() {
    let dir = directory();
    let data = dir.path().join("data");
    for address in ["0.0.0.0", "::", "192.0.2.1"] {
        must_refuse(&data, &["--bind", address], 2, "--allow-remote");
        assert!(!data.exists());
    }
    must_refuse(&data, &["--bind", "localhost"], 2, "--bind");
    // All of 127.0.0.0/8 is this machine.
    #[cfg(target_os = "linux")]
    Server::start(&data, &["--bind", "127.0.0.2"]).connect().line("PING", "+PONG");
    let server = Server::start(&data, &["--bind", "0.0.0.0", "--allow-remote"]);
    assert!(server.address.ip().is_unspecified());
    let near = SocketAddr::from((Ipv4Addr::LOCALHOST, server.address.port()));
    Raw::connect(near).line("PING", "+PONG");
}
