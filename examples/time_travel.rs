//! Versions: mark them, look at an old one while the runtime goes on, go back to one by name or by time, and ask what
//! became of a receipt whose command was undone.
//!
//! `cargo run --release --example time_travel`. A mistake is made on purpose: every price is set to nothing. What the
//! prices were is in a version, and the version can be looked at, compared and gone back to.

#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use std::borrow::Cow;
use std::error::Error;
use std::time::Duration;

use mainstay::{
    Abort, At, Memory, Options, Outcome, ReadError, Runtime, StateMachine, Time, Txn, Version, VersionError, View,
};

const GOODS: [&str; 4] = ["bread", "milk", "salt", "tea"];

/// The machine: a good and what it costs.
struct Prices;

impl StateMachine for Prices {
    type Command = (String, u64);
    type Entity = u64;
    type Reply = Option<u64>;
    const SCHEMA: u32 = 1;

    fn key<'a>(&self, (good, _): &'a (String, u64)) -> Cow<'a, [u8]> {
        Cow::Borrowed(good.as_bytes())
    }

    /// Replies with what it cost before.
    fn apply(&self, _: At, state: &mut Txn<'_, u64>, (good, price): (String, u64)) -> Result<Option<u64>, Abort> {
        let before = state.get(good.as_bytes())?.map(|price| *price);
        state.put(good.as_bytes(), price);
        Ok(before)
    }
}

/// Sets every price. The goods lie in several shards; a version is one instant of all of them.
async fn set_all(runtime: &Runtime<Prices>, price: u64) -> Result<(), Box<dyn Error>> {
    let commands = GOODS.iter().map(|good| ((*good).to_owned(), price)).collect();
    runtime.submit_many(commands).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(())
}

/// What all goods cost, in the order of `GOODS`.
fn prices(view: &View<u64>) -> Result<Vec<Option<u64>>, ReadError> {
    GOODS.iter().map(|good| Ok(view.get(good.as_bytes())?.map(|price| *price))).collect()
}

/// A version, and a pause, so that times tell versions apart: they are those of the wall clock.
async fn mark(runtime: &Runtime<Prices>, why: &str) -> Result<Version, VersionError> {
    let version = runtime.mark().await?;
    println!("{}: {why}", version.id);
    tokio::time::sleep(Duration::from_millis(10)).await;
    Ok(version)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let options = Options { shards: Some(3), ..Options::new(dir.path()) };
    let runtime = Runtime::open(Prices, options.clone()).await?;

    set_all(&runtime, 10).await?;
    let opening = mark(&runtime, "every price is 10").await?;
    set_all(&runtime, 12).await?;
    let raised = mark(&runtime, "every price is 12").await?;
    set_all(&runtime, 0).await?;
    let mistake = mark(&runtime, "every price is 0, which is a mistake").await?;

    // A second handle writes on while the first version is read. `open_at` takes no lock, and any process that can
    // read the directory may call it; `Runtime::view_at` does the same for a runtime's own directory.
    let writing = tokio::spawn({
        let runtime = runtime.clone();
        async move {
            for price in 1..=200 {
                runtime.submit(("tea".to_owned(), price)).await?;
            }
            runtime.submit(("tea".to_owned(), 7)).await
        }
    });
    while !writing.is_finished() {
        let then = Runtime::open_at(Prices, dir.path(), opening.id, Memory::Auto).await?;
        assert_eq!(prices(&then)?, [Some(10); 4], "a version changed while others wrote");
    }
    let undone = writing.await??;
    println!("{} looked at while tea went from 0 to 7: every price is still 10 there", opening.id);
    assert_eq!(prices(&runtime.view().await)?, [Some(0), Some(0), Some(0), Some(7)]);
    assert_eq!(runtime.outcome(undone.shard, undone.position).await, Outcome::Durable);
    assert_eq!(runtime.versions(), [opening.clone(), raised.clone(), mistake.clone()]);

    // Back to before the mistake, by name. Files are read and checked first; then one commit counts for all shards.
    runtime.rollback(raised.id).await?;
    println!("rolled back to {}: {:?}", raised.id, prices(&runtime.view().await)?);
    assert_eq!(prices(&runtime.view().await)?, [Some(12); 4]);
    // The receipt was `Durable`, and it was true: only a rollback, never a crash, takes such a command back.
    let outcome = runtime.outcome(undone.shard, undone.position).await;
    println!("the last price of tea, {:?} when it was answered, is {outcome:?} now", undone.durability);
    assert_eq!(outcome, Outcome::RolledBack);
    // What came later is abandoned, the version of the mistake included; its number is not given out again.
    let gone = runtime.rollback(mistake.id).await;
    assert_eq!(gone, Err(VersionError::Unknown(mistake.id)));

    // Life goes on from there, and back to the newest version of a time, as a clock shows it.
    set_all(&runtime, 13).await?;
    let later = mark(&runtime, "every price is 13").await?;
    assert!(later.id > mistake.id);
    let until = Time::from_millis(raised.time.as_millis() + 1);
    let found = runtime.rollback_to(until).await?;
    println!("rolled back to a millisecond after {}: that is {}", raised.id, found.id);
    assert_eq!(found, raised);
    // Before the first version there is nothing to go back to, and then nothing happens.
    let none = runtime.rollback_to(Time::from_millis(opening.time.as_millis() - 1)).await;
    assert_eq!(none, Err(VersionError::NoneBefore));
    drop(runtime); // No shutdown: a rollback that was answered is durable.

    let runtime = Runtime::open(Prices, options).await?;
    for version in runtime.versions() {
        let then = prices(&runtime.view_at(version.id).await?)?;
        println!("after another opening: {} with {then:?}", version.id);
    }
    assert_eq!(runtime.versions(), [opening, raised]);
    assert_eq!(prices(&runtime.view().await)?, [Some(12); 4]);
    assert_eq!(runtime.outcome(undone.shard, undone.position).await, Outcome::RolledBack);
    runtime.shutdown().await?;
    Ok(())
}
