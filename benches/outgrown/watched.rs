//! A process that is started, watched and killed: what it tells, and what it has in memory.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::data::{Case, Ledger};
use crate::random::Random;

/// The first argument of a process that writes, and of one that checks.
pub const WRITE: &str = "write";
pub const CHECK: &str = "check";

const SIGKILL: i32 = 9;
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// It goes on for so long after everything was written.
const LINGER: Duration = Duration::from_millis(500);
/// Or is killed at some moment of this time, from its first acknowledgement on.
const AT_RANDOM_MS: u64 = 5_000;

/// What ends the process.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It is killed when everything is written.
    Written,
    /// It is killed at a random moment.
    AtRandom,
    OfItself,
}

/// What is known of a process.
#[derive(Default)]
pub struct Told {
    /// How long opening has taken, in seconds.
    pub opened: f64,
    /// So long it has worked, with what came of it.
    pub seconds: f64,
    pub writes: u64,
    pub refused: u64,
    pub reads: u64,
    pub pages: u64,
    pub cold_keys: u64,
    pub cold_files: u64,
    pub checked: u64,
    /// What was resident, at most and last.
    pub highest: u64,
    pub last: u64,
    pub wrong: Vec<String>,
    /// What is told from now on is not counted: everything was written.
    is_written: bool,
}

/// Has a process work, notes in the ledger what it says was acknowledged, and waits for its end.
pub fn run(part: &str, dir: &Path, case: Case, ledger: &mut Ledger, end: End, random: &mut Random) -> Told {
    let noted = dir.with_extension("ledger");
    ledger.write(&noted);
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([part.as_ref(), dir.as_os_str(), noted.as_os_str()])
        .arg(random.below(u64::MAX).to_string())
        .args(case.arguments())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (sender, lines) = channel();
    let out = BufReader::new(child.stdout.take().unwrap());
    let reading = thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    let (mut told, mut kill_at, mut looked) = (Told::default(), None, Instant::now());
    let at_random = Duration::from_millis(random.below(AT_RANDOM_MS));
    loop {
        match lines.recv_timeout(LOOK) {
            Ok(line) => {
                told.take(&line, ledger);
                let (word, is_due) = (line.split(' ').next(), kill_at.is_none());
                match end {
                    End::Written if is_due && word == Some("written") => kill_at = Some(Instant::now() + LINGER),
                    End::AtRandom if is_due && word == Some("done") => kill_at = Some(Instant::now() + at_random),
                    _ => {}
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if looked.elapsed() >= LOOK {
            told.look(&child);
            looked = Instant::now();
        }
        if kill_at.is_some_and(|at| Instant::now() >= at) {
            child.kill().unwrap();
        }
    }
    let _ = reading.join();
    let status = child.wait().unwrap();
    let is_as_meant = if end == End::OfItself { status.success() } else { status.signal() == Some(SIGKILL) };
    if !is_as_meant && told.wrong.is_empty() {
        told.wrong.push(format!("the process has ended with {status}"));
    }
    fs::remove_file(noted).unwrap();
    told
}

impl Told {
    fn take(&mut self, line: &str, ledger: &mut Ledger) {
        let words: Vec<_> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<u64>().unwrap();
        match words[0] {
            "opened" => self.opened = words[1].parse().unwrap(),
            "done" => ledger.0[number(1) as usize] = number(2),
            "at" if !self.is_written => {
                self.seconds = words[1].parse().unwrap();
                (self.writes, self.refused, self.reads, self.pages) = (number(2), number(3), number(4), number(5));
                (self.cold_keys, self.cold_files) = (number(6), number(7));
            }
            "written" => self.is_written = true,
            "checked" => self.checked = number(1),
            "wrong" => self.wrong.push(line.to_owned()),
            _ => {}
        }
    }

    /// At most, and now: the kernel keeps the maximum.
    fn look(&mut self, child: &Child) {
        let Ok(status) = fs::read_to_string(format!("/proc/{}/status", child.id())) else { return };
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
        };
        // One that has ended has nothing in memory.
        if let (Some(highest), Some(last)) = (bytes("VmHWM:"), bytes("VmRSS:")) {
            (self.highest, self.last) = (self.highest.max(highest), last);
        }
    }
}
