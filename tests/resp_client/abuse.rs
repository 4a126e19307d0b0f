//! What a peer may send that is no request, or not a good one: every reply is that of Redis 7.0.15, and whatever
//! comes before a broken request is still served.

use std::io::Write;
use std::net::Shutdown;

use crate::resp::{Raw, Server, bulk, directory, request};
use crate::{SHARDS, ask, client};

/// Sends bytes on a connection of their own.
fn sent(server: &Server, bytes: &[u8]) -> Raw {
    let mut raw = server.connect();
    raw.send(bytes);
    raw
}

/// Guards F57: a length that nobody could mean is refused when it is seen, not waited for or allocated; arrays in
/// arrays, which would take a decoder as deep as the sender likes, are refused at the first.
#[test]
fn what_breaks_the_protocol_ends_the_connection() {
    let dir = directory();
    let server = Server::start(dir.path(), &[]);
    for (bytes, said) in [
        (&b"*abc\r\n"[..], "invalid multibulk length"),
        (b"*\r\n", "invalid multibulk length"),
        (b"* 1\r\n", "invalid multibulk length"),
        (b"*+1\r\n", "invalid multibulk length"),
        (b"*01\r\n", "invalid multibulk length"),
        (b"*-0\r\n", "invalid multibulk length"),
        (b"*2147483648\r\n", "invalid multibulk length"),
        (b"*99999999999999999999999\r\n", "invalid multibulk length"),
        (b"*1\r\n$\r\n", "invalid bulk length"),
        (b"*1\r\n$abc\r\n", "invalid bulk length"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$04\r\nPING\r\n", "invalid bulk length"),
        (b"*1\r\n$536870913\r\n", "invalid bulk length"),
        (b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$9223372036854775807\r\n", "invalid bulk length"),
        (b"*1\r\n$9223372036854775808\r\n", "invalid bulk length"),
        (b"*1\r\n:1\r\n", "expected '$', got ':'"),
        (b"*2\r\n$3\r\nGET\r\n+a\r\n", "expected '$', got '+'"),
        (b"*1\r\n*1\r\n$4\r\nPING\r\n", "expected '$', got '*'"),
        (b"*2\r\n$3\r\nGET\r\n*1\r\n$1\r\na\r\n", "expected '$', got '*'"),
        (b"GET \"a\r\n", "unbalanced quotes in request"),
        (b"GET 'a'b\r\n", "unbalanced quotes in request"),
    ] {
        let before = request(&[b"INCR", b"served"]);
        let after = request(&[b"SET", b"bad", b"1"]);
        let mut raw = sent(&server, &[&before, bytes, &after].concat());
        assert!(raw.read_line().is_some_and(|line| line.starts_with(':')));
        raw.expect(format!("-ERR Protocol error: {said}\r\n"));
        raw.expect_end();
    }
    let mut raw = server.connect();
    raw.line("GET served", "$2\r\n21");
    raw.line("EXISTS bad", ":0");
}

/// Guards against a server that is stricter than Redis, or that loses its place in the stream.
#[test]
fn what_is_odd_is_taken_as_redis_takes_it() {
    let dir = directory();
    let server = Server::start(dir.path(), SHARDS);
    for (bytes, reply) in [
        (&b"PING\nPING\n"[..], "+PONG\r\n+PONG\r\n"),
        (b"\r\n\r\n\n  \r\n\tPING\t\r\n", "+PONG\r\n"),
        (b"*0\r\n*1\r\n$4\r\nPING\r\n", "+PONG\r\n"),
        (b"*-1\r\n*-10\r\n*1\r\n$4\r\nPING\r\n", "+PONG\r\n"),
        (b"*1\r\n$0\r\n\r\nPING\r\n", "-ERR unknown command '', with args beginning with: \r\n+PONG\r\n"),
        // Nobody looks at what stands where a line should end.
        (b"*1\r\n$4\r\nPINGXXPING\r\n", "+PONG\r\n+PONG\r\n"),
        (b"*3\r\n$3\r\nSET\r\n$0\r\n\r\n$0\r\n\r\n*2\r\n$3\r\nGET\r\n$0\r\n\r\n", "+OK\r\n$0\r\n\r\n"),
        (
            b"*3\r\n$3\r\nSET\r\n$3\r\na\r\n\r\n$2\r\n\r\n\r\n*2\r\n$3\r\nGET\r\n$3\r\na\r\n\r\n",
            "+OK\r\n$2\r\n\r\n\r\n",
        ),
        (b"SET \"a b\" 'c \"d'\r\nGET \"a\\x20b\"\r\n", "+OK\r\n$4\r\nc \"d\r\n"),
        (b"set 'it\\'s' \"\\n\\\\\"\r\nget \"it's\"\r\n", "+OK\r\n$2\r\n\n\\\r\n"),
        (b"$4\r\n", "-ERR unknown command '$4', with args beginning with: \r\n"),
        // A reply is a line, whatever is in it.
        (
            b"*2\r\n$7\r\nBO\r\nGUS\r\n$4\r\na\r\nb\r\n",
            "-ERR unknown command 'BO  GUS', with args beginning with: 'a  b' \r\n",
        ),
    ] {
        let mut raw = sent(&server, bytes);
        raw.expect(reply);
        raw.line("ECHO end", "$3\r\nend");
    }
}

/// Guards against a type or a command that is half there: what is not supported says so, and changes nothing.
#[test]
fn other_commands_are_unknown() {
    let dir = directory();
    let server = Server::start(dir.path(), &[]);
    let mut raw = server.connect();
    raw.line("SET a text", "+OK");
    for line in [
        "LPUSH a 1",
        "HSET a f v",
        "SADD a 1",
        "ZADD a 1 m",
        "XADD a * f v",
        "SETBIT a 0 1",
        "SETRANGE a 0 x",
        "MULTI",
        "EXEC",
        "WATCH a",
        "SUBSCRIBE a",
        "EVAL x 0",
        "AUTH x",
        "AUTH default x",
        "MSETNX a 1",
        "GETEX a",
        "RENAME a b",
        "INCRBYFLOAT a 1",
        "REPLICAOF a 1",
        "ROLE",
        "OBJECT ENCODING a",
    ] {
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        let shown: String = rest.split_whitespace().map(|argument| format!("'{argument}' ")).collect();
        raw.line(line, &format!("-ERR unknown command '{name}', with args beginning with: {shown}"));
    }
    raw.line("GET a", "$4\r\ntext");
    raw.line("DBSIZE", ":1");
}

/// Guards against an argument too many that is passed over, or one too few that is read from the next request: every
/// command, by what the server says of itself.
#[test]
fn every_command_counts_its_arguments() {
    let dir = directory();
    let server = Server::start(dir.path(), &[]);
    let mut connection = client(&server);
    let names: Vec<String> = ask(&mut connection, &["COMMAND", "LIST"]);
    assert_eq!(names.len(), 47);
    let mut raw = server.connect();
    for name in names {
        raw.send(format!("COMMAND INFO {name}\r\n"));
        raw.expect(format!("*1\r\n*6\r\n${}\r\n{name}\r\n", name.len()));
        let arity: i64 = raw.read_line().unwrap().trim_start_matches(':').parse().unwrap();
        let flags: usize = raw.read_line().unwrap().trim_start_matches('*').parse().unwrap();
        for _ in 0..flags + 3 {
            raw.read_line().unwrap();
        }
        let arity_least = arity.unsigned_abs() as usize;
        let wrong = [arity_least - 1, if arity < 0 { 0 } else { arity_least + 1 }];
        for count in wrong.into_iter().filter(|count| *count > 0) {
            let words: Vec<&[u8]> = std::iter::once(name.as_bytes()).chain(vec![&b"1"[..]; count - 1]).collect();
            raw.send(request(&words));
            raw.expect(format!("-ERR wrong number of arguments for '{name}' command\r\n"));
        }
    }
    raw.line("DBSIZE", ":0");
}

/// Guards F57: a mistake in a long pipeline costs one error reply, in its place, and nothing behind it.
#[test]
fn a_pipeline_of_ten_thousand_keeps_its_place_through_mistakes() {
    let dir = directory();
    let server = Server::start(dir.path(), SHARDS);
    let mut raw = server.connect();
    raw.line("SET text abc", "+OK");
    let integer = "-ERR value is not an integer or out of range\r\n";
    let (mut requests, mut replies) = (Vec::new(), Vec::new());
    for n in 0..10_000_usize {
        let (key, value) = (format!("k{}", n % 97), n.to_string());
        let (line, reply): (Vec<&[u8]>, String) = match n % 10 {
            0 => (vec![b"SET", key.as_bytes(), value.as_bytes()], "+OK\r\n".to_owned()),
            1 => (vec![b"INCR", b"text"], integer.to_owned()),
            2 => (vec![b"GET"], "-ERR wrong number of arguments for 'get' command\r\n".to_owned()),
            3 => (vec![b"INCR", b"count"], format!(":{}\r\n", n / 10 + 1)),
            4 => (vec![b"SET", b"text", b"x", b"NX", b"XX"], "-ERR syntax error\r\n".to_owned()),
            5 => (vec![b"LPUSH", b"l"], "-ERR unknown command 'LPUSH', with args beginning with: 'l' \r\n".to_owned()),
            6 => (vec![b"SET", b"text", b"x", b"PX", b"x"], integer.to_owned()),
            7 => (vec![b"MSET", b"text"], "-ERR wrong number of arguments for 'mset' command\r\n".to_owned()),
            8 => (vec![b"EXPIRE", b"text", b"x"], integer.to_owned()),
            _ => (vec![b"ECHO", value.as_bytes()], String::from_utf8(bulk(value.as_bytes())).unwrap()),
        };
        requests.extend(request(&line));
        replies.extend(reply.into_bytes());
    }
    let mut writer = raw.writer();
    let sender = std::thread::spawn(move || writer.write_all(&requests).unwrap());
    raw.expect(replies);
    sender.join().unwrap();
    raw.line("MGET text count", "*2\r\n$3\r\nabc\r\n$4\r\n1000");
    raw.line("DBSIZE", ":99");
    raw.line("TTL text", ":-1");
}

/// Guards F11: half a request is no request, whether its sender leaves or the server ends.
#[test]
fn half_a_request_does_nothing() {
    let dir = directory();
    let server = Server::start(dir.path(), &[]);
    let whole = request(&[b"SET", b"whole", b"1"]);
    let half = request(&[b"SET", b"half", b"value"]);
    for cut in 1..half.len() {
        let mut raw = sent(&server, &[&whole, &half[..cut]].concat());
        raw.writer().shutdown(Shutdown::Write).unwrap();
        raw.expect("+OK\r\n");
        raw.expect_end();
    }
    // Byte by byte it is a request like any other.
    let mut raw = server.connect();
    for byte in request(&[b"SET", b"slow", b"value"]) {
        raw.send([byte]);
    }
    raw.expect("+OK\r\n");
    raw.send(&half[..half.len() - 1]);
    server.connect().line("MGET half whole slow", "*3\r\n$-1\r\n$1\r\n1\r\n$5\r\nvalue");
    assert_eq!(server.signal("TERM").code(), Some(0));
    raw.expect_end();
    Server::start(dir.path(), &[]).connect().line("MGET half whole slow", "*3\r\n$-1\r\n$1\r\n1\r\n$5\r\nvalue");
}
