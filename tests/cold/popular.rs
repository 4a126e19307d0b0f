//! Everything is read all the time: room is made all the same, for what is read is only taken later.

use std::borrow::Cow;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use mainstay::sim::SimDisk;
use mainstay::{Abort, At, Memory, Options, Runtime, StateMachine, Txn, View};
use serde::de::Deserialize;
use serde::{Deserializer, Serialize, Serializer};

use crate::disk::DIR;

const PATIENCE: Duration = Duration::from_secs(60);
const LONGEST: u32 = 16 << 10;
/// This value cannot be written anywhere. While that is tried, somebody reads all the others.
const ROGUE: &[u8] = b"rogue";

static READER: Mutex<Option<Reader>> = Mutex::new(None);

/// What somebody reads all the time.
struct Reader {
    view: View<Value>,
    keys: Vec<String>,
}

#[derive(Clone)]
struct Value(Vec<u8>);

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 != ROGUE {
            return self.0.serialize(serializer);
        }
        if let Some(Reader { view, keys }) = &*READER.lock().unwrap() {
            keys.iter().for_each(|key| _ = view.get(key.as_bytes()));
        }
        Err(serde::ser::Error::custom("it never does"))
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self)
    }
}

struct Puts;

impl StateMachine for Puts {
    type Command = (String, Vec<u8>);
    type Entity = Value;
    type Reply = ();
    const SCHEMA: u32 = 1;

    fn key<'a>(&self, (key, _): &'a Self::Command) -> Cow<'a, [u8]> {
        Cow::Borrowed(key.as_bytes())
    }

    fn apply(&self, _: At, state: &mut Txn<'_, Value>, (key, value): Self::Command) -> Result<(), Abort> {
        state.put(key.as_bytes(), Value(value));
        Ok(())
    }

    fn heap_bytes(&self, value: &Value) -> usize {
        value.0.len()
    }
}

/// Guards against a walk that finds nobody because readers are faster than it goes round.
#[tokio::test]
async fn room_is_made_although_everything_is_read_all_the_time() {
    let options = Options {
        shards: Some(1),
        segment_bytes: 1 << 20,
        command_bytes_max: LONGEST,
        memory: Memory::Bytes(u64::from(LONGEST) * 8),
        ..Options::new(DIR)
    };
    let runtime = Runtime::open_on(SimDisk::new(5), Puts, options).await.unwrap();
    let mark = runtime.stats().memory.state_bytes.unwrap() / 8 * 7;
    runtime.submit(("rogue".to_owned(), ROGUE.to_vec())).await.unwrap();
    let mut keys = Vec::new();
    while runtime.stats().shards[0].memory_bytes + 2_000 < mark {
        keys.push(format!("{}", keys.len()));
        runtime.submit((keys.last().unwrap().clone(), vec![b'x'; 1_000])).await.unwrap();
    }
    // Nobody was passed by before this one needs room.
    let large = || vec![b'x'; LONGEST as usize - 100];
    runtime.submit(("large".to_owned(), large())).await.unwrap();
    let started = Instant::now();
    while runtime.stats().shards[0].memory_bytes > mark {
        assert!(started.elapsed() < PATIENCE, "{:?}", runtime.stats());
        tokio::task::yield_now().await;
    }
    keys.push("large".to_owned());
    let view = runtime.view().await;
    keys.iter().for_each(|key| _ = view.get(key.as_bytes()));
    *READER.lock().unwrap() = Some(Reader { view, keys });
    let answer = runtime.submit(("larger".to_owned(), large())).await;
    *READER.lock().unwrap() = None;
    answer.unwrap();
}
