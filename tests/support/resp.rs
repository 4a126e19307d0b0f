//! The example server as a process of its own, and a client that sees every byte.
#![allow(dead_code, reason = "each test uses its part")]
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "this is a test")]

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

/// Longer than anything here takes, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running server. Dropping it kills it.
pub struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// What it said when it was ready.
    pub line: String,
    pub address: SocketAddr,
}

/// The example, which `cargo test` builds beside the tests.
fn binary() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().unwrap().parent().unwrap().join("examples/resp_server");
    assert!(path.exists(), "{}: run `cargo build --example resp_server` first", path.display());
    path
}

fn command(dir: &Path, flags: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.arg("--dir").arg(dir).args(flags);
    if !flags.contains(&"--port") {
        command.args(["--port", "0"]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A directory on the real disk, not in memory.
pub fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Runs a server that must not come up: its exit code and what it says.
pub fn refused(dir: &Path, flags: &[&str]) -> (Option<i32>, String) {
    match Server::try_start(dir, flags) {
        Ok(server) => panic!("{flags:?}: {}", server.line),
        Err((status, said)) => (status.code(), said),
    }
}

impl Server {
    /// Starts a server on a port of its own and waits until it serves.
    pub fn start(dir: &Path, flags: &[&str]) -> Self {
        match Self::try_start(dir, flags) {
            Ok(server) => server,
            Err((status, said)) => panic!("{status}: {said}"),
        }
    }

    fn try_start(dir: &Path, flags: &[&str]) -> Result<Self, (ExitStatus, String)> {
        let mut child = command(dir, flags).spawn().unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        match line.strip_prefix("ready ").map(|address| address.trim_end().parse().unwrap()) {
            Some(address) => Ok(Self { child, stdout, line, address }),
            None => {
                assert_eq!(line, "");
                let mut said = String::new();
                child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
                Err((child.wait().unwrap(), said))
            }
        }
    }

    /// Starts a server and does not wait for it.
    pub fn spawn_only(dir: &Path, flags: &[&str]) -> Child {
        command(dir, flags).spawn().unwrap()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn connect(&self) -> Raw {
        Raw::connect(self.address)
    }

    /// `SIGKILL`, and waits until the process is gone. It must not have ended by itself before.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        assert_eq!(status.signal(), Some(9), "{status}");
    }

    /// Sends a signal by its name and waits for the end.
    pub fn signal(self, name: impl AsRef<OsStr>) -> ExitStatus {
        self.send_signal(name);
        self.wait()
    }

    fn send_signal(&self, name: impl AsRef<OsStr>) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").arg("-s").arg(name).arg(id).status().unwrap().success());
    }

    /// Waits for the end. It must not have said any more.
    pub fn wait(mut self) -> ExitStatus {
        let status = self.child.wait().unwrap();
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
        status
    }

    /// Asks for the end, and returns the exit code and what else was said, on both streams.
    pub fn terminate(mut self) -> (Option<i32>, String, String) {
        self.send_signal("TERM");
        let (mut out, mut err) = (String::new(), String::new());
        self.stdout.read_to_string(&mut out).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        (self.child.wait().unwrap().code(), out, err)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail if the process has ended, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection, byte by byte.
pub struct Raw {
    reader: BufReader<TcpStream>,
}

impl Raw {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { reader: BufReader::new(stream) }
    }

    /// Another handle of the connection, to write from another thread.
    pub fn writer(&self) -> TcpStream {
        self.reader.get_ref().try_clone().unwrap()
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.reader.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    /// The next bytes have to be these.
    pub fn expect(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        let mut found = vec![0; expected.len()];
        let mut length = 0;
        while length < found.len() && found[..length] == expected[..length] {
            match self.reader.read(&mut found[length..]).unwrap() {
                0 => break,
                read => length += read,
            }
        }
        let found = found[..length].escape_ascii().to_string();
        assert_eq!(found, expected.escape_ascii().to_string());
    }

    /// Sends a request as a line and expects a reply.
    pub fn line(&mut self, request: &str, reply: &str) {
        self.send(format!("{request}\r\n"));
        self.expect(format!("{reply}\r\n"));
    }

    /// Nothing follows.
    pub fn expect_end(&mut self) {
        let mut rest = Vec::new();
        // A reset is an end, too: the server may close before it has read everything.
        let _ = self.reader.read_to_end(&mut rest);
        assert_eq!(rest.escape_ascii().to_string(), "");
    }

    /// One line of a reply without its end; `None` when the connection has ended, even within the line.
    pub fn read_line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(_) => line.strip_suffix("\r\n").map(str::to_owned),
            Err(_) => None,
        }
    }

    /// A number behind this sign.
    pub fn read_number(&mut self, sign: char) -> u64 {
        let line = self.read_line().unwrap();
        line.strip_prefix(sign).and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{line}"))
    }

    /// A string's bytes; `None`: null, or the end.
    pub fn read_bulk(&mut self) -> Option<Vec<u8>> {
        let length = self.read_line()?.strip_prefix('$')?.parse().ok()?;
        let mut bytes = vec![0; length + 2];
        self.reader.read_exact(&mut bytes).ok()?;
        bytes.truncate(length);
        Some(bytes)
    }
}

/// A version, as `MAINSTAY VERSIONS` tells it: number, microseconds, positions.
pub type Version = (u64, u64, Vec<String>);

/// Asks for all versions.
pub fn versions(raw: &mut Raw) -> Vec<Version> {
    raw.send("MAINSTAY VERSIONS\r\n");
    let count = raw.read_number('*');
    let version = |_| {
        raw.expect("*3\r\n");
        let (id, time) = (raw.read_number(':'), raw.read_number(':'));
        let shards = raw.read_number('*');
        let ends = (0..shards).map(|_| String::from_utf8(raw.read_bulk().unwrap()).unwrap());
        (id, time, ends.collect())
    };
    (0..count).map(version).collect()
}

/// A request as clients send it.
pub fn request(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// A string as the server sends it.
pub fn bulk(bytes: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}
