//! The process that opens what is left and checks every key.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use mainstay::kv::Kv;
use mainstay::{Runtime, ShardId};

use crate::data::{CHUNK, Case, Ledger, key, number};
use crate::write::{fail, open, say};

/// So many keys are read at a time.
const PAGE: usize = 256;
/// Versions that may have been begun behind the one that was acknowledged last: one by the life that was killed, and
/// one by a life that was killed before it.
const BEGUN: u64 = 2;

pub fn run(dir: &Path, case: Case, ledger: &Ledger) -> ExitCode {
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    tokio.block_on(async {
        let runtime = open(dir, case).await;
        let began = Instant::now();
        let mut seen = vec![false; case.entries as usize];
        for shard in runtime.latest().shards() {
            check(&runtime, shard, case, ledger, &mut seen).await;
        }
        let is_missing = |number: &u64| !seen[*number as usize] && ledger.0[(number / CHUNK) as usize] > 0;
        if let Some(number) = (0..case.entries).find(is_missing) {
            fail(&format!("{} is missing", key(number)));
        }
        let (seconds, stats) = (began.elapsed().as_secs_f64(), runtime.stats());
        let sum = |number: fn(&mainstay::ShardStats) -> u64| stats.shards.iter().map(number).sum::<u64>();
        let (files, keys, pages) = (sum(|shard| shard.cold_files), sum(|shard| shard.cold_entries), stats.cold_reads);
        let checked = seen.iter().filter(|seen| **seen).count();
        say(&format!("at {seconds} 0 0 {checked} {pages} {keys} {files}"));
        say(&format!("checked {checked}"));
        // It is not what is measured how long the end takes.
        ExitCode::SUCCESS
    })
}

async fn check(runtime: &Runtime<Kv>, shard: ShardId, case: Case, ledger: &Ledger, seen: &mut [bool]) {
    let (view, mut from) = (runtime.view().await, Some(0));
    while let Some(cursor) = from {
        let page = view.read_scan(shard, cursor, PAGE).await.unwrap_or_else(|error| fail(&error.to_string()));
        for (key, entity) in &page.entries {
            let number = number(key).filter(|number| *number < case.entries);
            let Some(number) = number else { fail(&format!("there is a key {key:?}")) };
            let version = entity.as_ref().and_then(|entity| case.version(number, entity.value()));
            let least = ledger.0[(number / CHUNK) as usize];
            if !version.is_some_and(|version| (least..=least + BEGUN).contains(&version)) {
                fail(&format!("{} is {version:?}, and {least} was acknowledged", crate::data::key(number)));
            }
            seen[number as usize] = true;
        }
        from = page.next;
    }
}
