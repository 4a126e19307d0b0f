//! [`Run`]: a directory through all its lives.

use std::path::Path;

use bytes::Bytes;
use mainstay::kv::{self, Command, Expiry, Kv, Reply};
use mainstay::sim::SimDisk;
use mainstay::{NotExecuted, Options, Receipt, Runtime, ShardId, SubmitError, SyncPolicy, Time};
use tokio::task::{JoinSet, yield_now};

use crate::book::{ShardBook, Tally};
use crate::commands::{End, Flight, KEYS, Step, key, parts};
use crate::recorder::Recorder;

type Answer = Result<Receipt<Reply>, SubmitError>;

pub struct Run {
    sim: SimDisk,
    options: Options,
    recorder: Recorder,
    /// Absent only between two lives.
    runtime: Option<Runtime<Recorder>>,
    books: Vec<ShardBook>,
    /// Has the plain maps' entries written into it, for a digest that no replay was part of.
    reference: Runtime<Kv>,
    tally: Tally,
}

impl Run {
    pub async fn new(sim: SimDisk, sync: SyncPolicy, shards: u32) -> Self {
        let options = Options {
            shards: Some(shards),
            sync,
            segment_bytes: 16 * 1024,
            command_bytes_max: 2048,
            ..Options::new(Path::new("/data"))
        };
        let recorder = Recorder::default();
        let runtime = Runtime::open_on(sim.clone(), recorder.clone(), options.clone()).await.unwrap();
        // A value that was appended to may be longer than one command may set it in the directory itself.
        let larger = Options {
            segment_bytes: 256 * 1024,
            command_bytes_max: Options::command_bytes_for(256 * 1024),
            ..Options::new(Path::new("/reference"))
        };
        let reference = Runtime::open_on(SimDisk::new(0), Kv, larger).await.unwrap();
        let books = (0..shards).map(|_| ShardBook::default()).collect();
        Self { sim, options, recorder, runtime: Some(runtime), books, reference, tally: Tally::new() }
    }

    /// Takes every step, and returns what happened how often.
    pub async fn through(mut self, steps: Vec<Step>) -> Tally {
        for step in steps {
            match step {
                Step::Submit(command) => self.submit(vec![command]).await,
                Step::Many(commands) => self.submit(commands).await,
                Step::Durable(percent) => self.durable(usize::from(percent)).await,
                Step::End { end, flight } => self.end(end, flight).await,
            }
            self.compare().await;
        }
        self.tally
    }

    fn runtime(&self) -> &Runtime<Recorder> {
        self.runtime.as_ref().unwrap()
    }

    fn shards(&self) -> impl Iterator<Item = (usize, ShardId)> + use<> {
        (0..self.books.len()).map(|index| (index, ShardId(index as u32)))
    }

    fn parts(&self, commands: Vec<Command>) -> Vec<(ShardId, Command)> {
        let runtime = self.runtime();
        let parts =
            commands.into_iter().map(|command| parts(command, runtime.shard_count(), |key| runtime.shard_of(key)));
        parts.flatten().collect()
    }

    /// Submits commands and hears every answer.
    async fn submit(&mut self, commands: Vec<Command>) {
        let is_by_shard = |command: &Command| matches!(command, Command::Clear | Command::Sweep { .. });
        let (by_shard, by_key): (Vec<_>, Vec<_>) =
            self.parts(commands).into_iter().partition(|(_, command)| is_by_shard(command));
        let by_key = by_key.into_iter().map(|(_, command)| command).collect();
        let runtime = self.runtime();
        let by_shard = async {
            let mut answers = Vec::new();
            for (shard, command) in by_shard {
                answers.push(runtime.submit_to(shard, command).await);
            }
            answers
        };
        let (by_key, by_shard) = tokio::join!(runtime.submit_many(by_key), by_shard);
        self.hear(by_key.into_iter().chain(by_shard).map(Result::unwrap));
    }

    fn take_up(&mut self) {
        self.take_up_from(&self.recorder.clone());
    }

    fn take_up_from(&mut self, recorder: &Recorder) {
        for (index, shard) in self.shards() {
            self.books[index].take_up(recorder.take(shard), &mut self.tally);
        }
    }

    fn hear(&mut self, receipts: impl Iterator<Item = Receipt<Reply>>) {
        self.take_up();
        for receipt in receipts {
            self.books[receipt.shard.0 as usize].hear(&receipt, self.options.sync);
        }
    }

    /// Waits until so many hundredths of what was answered are synced.
    async fn durable(&mut self, percent: usize) {
        for (index, shard) in self.shards() {
            let durable = self.books[index].answered * percent / 100;
            if durable > 0 {
                let last = self.books[index].log[durable - 1].position;
                self.runtime().durable(shard, last).await.unwrap();
                self.books[index].promise(durable);
            }
        }
    }

    /// Everything that the runtime shows is what the plain maps have.
    async fn compare(&mut self) {
        let view = self.runtime().view().await;
        self.take_up();
        for (index, shard) in self.shards() {
            self.books[index].compare(&view, shard);
        }
        for key in (0..KEYS).map(key) {
            let plain = &self.books[view.shard_of(&key).0 as usize].plain;
            let found = kv::read(&view, &key, Time(0)).await.unwrap();
            let found = found.map(|entity| (Bytes::copy_from_slice(entity.value()), entity.expires_ms()));
            assert_eq!(found.as_ref(), plain.present(&key), "{key:?}");
        }
    }

    /// Ends a life, perhaps in the middle of something, and begins the next one.
    async fn end(&mut self, end: End, flight: Flight) {
        let mut flying = self.fly(flight).await;
        // From here to the copy of the disk nothing waits, so the shards, which run on this thread, apply nothing.
        while let Some(answer) = flying.try_join_next() {
            self.hear([answer.unwrap().unwrap()].into_iter());
        }
        self.take_up();
        self.promise_what_stats_say();
        let mut old = std::mem::take(&mut self.recorder);
        match end {
            End::PowerCut(seed) => self.sim = self.sim.crash(seed),
            End::Kill => self.sim = self.sim.after_kill(),
            End::Drop => flying.shutdown().await,
            End::Shutdown | End::ShutdownThenPowerCut(_) => self.shut_down(flying, &old).await,
        }
        if let End::ShutdownThenPowerCut(seed) = end {
            self.sim = self.sim.crash(seed);
        }
        if matches!(end, End::Kill | End::PowerCut(_)) {
            // What it goes on to do happens on a disk that nobody looks at any more.
            old = Recorder::default();
        }
        self.runtime = None;
        self.reopen(end, &old).await;
    }

    /// Has commands on their way, and waits as long as the flight says.
    async fn fly(&mut self, flight: Flight) -> JoinSet<Answer> {
        let mut flying = JoinSet::new();
        for (shard, command) in self.parts(flight.commands) {
            let runtime = self.runtime().clone();
            flying.spawn(async move { runtime.submit_to(shard, command).await });
        }
        for _ in 0..flight.turns {
            yield_now().await;
        }
        for _ in 0..flight.answers {
            let answer = flying.join_next().await.unwrap();
            self.hear([answer.unwrap().unwrap()].into_iter());
        }
        flying
    }

    /// In good order: whoever was in flight is answered, or told that nothing was executed, and all of it is synced.
    async fn shut_down(&mut self, flying: JoinSet<Answer>, recorder: &Recorder) {
        self.runtime().shutdown().await.unwrap();
        self.take_up_from(recorder);
        for answer in flying.join_all().await {
            match answer {
                Ok(receipt) => self.books[receipt.shard.0 as usize].hear(&receipt, self.options.sync),
                Err(error) => assert_eq!(error, SubmitError::NotExecuted(NotExecuted::ShuttingDown)),
            }
        }
        for book in &mut self.books {
            assert_eq!(book.log.len(), book.answered, "applied and not answered");
            book.promise(book.answered);
        }
    }

    fn promise_what_stats_say(&mut self) {
        for stats in self.runtime().stats().shards {
            let book = &mut self.books[stats.shard.0 as usize];
            book.promise(usize::try_from(stats.durable.lsn.0.saturating_sub(1)).unwrap());
        }
    }

    async fn reopen(&mut self, end: End, old: &Recorder) {
        let runtime = Runtime::open_on(self.sim.clone(), self.recorder.clone(), self.options.clone()).await.unwrap();
        self.take_up_from(old);
        assert_eq!(runtime.recovery().refused().count(), 0);
        let (name, is_cut) = match end {
            End::Shutdown => ("shutdown", false),
            End::ShutdownThenPowerCut(_) => ("shutdown, then power cut", false),
            End::Drop => ("drop", false),
            End::Kill => ("kill", false),
            End::PowerCut(_) => ("power cut", true),
        };
        *self.tally.entry(name).or_default() += 1;
        for (index, shard) in self.shards() {
            let book = &mut self.books[index];
            let least = if is_cut { book.durable } else { book.answered };
            let replayed = self.recorder.take(shard);
            let recovery = &runtime.recovery().shards[index];
            assert_eq!(recovery.commands, replayed.len() as u64);
            assert_eq!(recovery.next.0, recovery.commands + 1);
            let lost = book.survive(&replayed, least);
            *self.tally.entry("lost").or_default() += lost as u64;
            *self.tally.entry("cut in the middle").or_default() += u64::from(lost > 0 && replayed.len() > least);
        }
        self.runtime = Some(runtime);
        self.compare_digests().await;
    }

    /// The digest is that of the plain maps' entries, written into a directory that has never seen the commands.
    async fn compare_digests(&self) {
        self.reference.submit_to(ShardId(0), Command::Clear).await.unwrap();
        let entries = self.books.iter().flat_map(|book| &book.plain.entries);
        let commands = entries.map(|(key, (value, until))| {
            let set = Command::set(key.clone(), value.clone());
            until.map_or(set.clone(), |ms| set.expiring(Expiry::At(ms)))
        });
        for answer in self.reference.submit_many(commands.collect()).await {
            answer.unwrap();
        }
        let now = kv::wall_clock();
        let expected = kv::digest(&self.reference.view().await, now).unwrap();
        assert_eq!(kv::digest(&self.runtime().latest(), now).unwrap(), expected);
    }
}
