//! What other people's tools make of the server, where they are installed.

use std::io::Write;
use std::process::Command;

use crate::resp::{Server, directory};

/// Whether the tools are there. Where `CI` is set they have to be, so that nobody takes a test that was left out for
/// one that passed.
fn are_installed(tools: [&str; 2]) -> bool {
    let is_missing = |tool: &&str| Command::new(tool).arg("--version").output().is_err();
    let Some(missing) = tools.into_iter().find(is_missing) else {
        return true;
    };
    let advice = format!("{missing} is not installed (Debian has it in redis-tools)");
    assert!(std::env::var_os("CI").is_none(), "{advice}, and CI is set: there nothing may be left out");
    // Not `eprintln!`, which nobody sees when the test passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED the_tools_of_redis_are_content: {advice}");
    false
}

/// Guards against a server that only its own tests can talk to.
#[test]
fn the_tools_of_redis_are_content() {
    if !are_installed(["redis-cli", "redis-benchmark"]) {
        return;
    }
    let dir = directory();
    let server = Server::start(dir.path(), &["--shards", "2"]);
    let port = server.address.port().to_string();
    let run = |tool: &str, arguments: &str| {
        let arguments = arguments.split(' ');
        let output = Command::new(tool).args(["-p", &port]).args(arguments).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(output.status.success() && !text.contains("rror"), "{tool}: {text}");
        text
    };
    assert_eq!(run("redis-cli", "--raw incrby n 41"), "41\n");
    assert!(run("redis-cli", "-3 config get maxclients").contains("1024"));
    let bench = "-t set,get,incr,mset -P 16 -c 50 -n 3200 -d 100 -r 1000 -q";
    let text = run("redis-benchmark", bench);
    assert!(["SET:", "GET:", "INCR:", "MSET"].iter().all(|name| text.contains(name)), "{text}");
    // It has really written what it says.
    let keys = run("redis-cli", "--scan --pattern key:*");
    let strlen = format!("--raw strlen {}", keys.lines().next().unwrap());
    assert_eq!(run("redis-cli", &strlen), "100\n");
}
