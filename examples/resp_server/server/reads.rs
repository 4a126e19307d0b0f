//! Reads of single keys, answered from a view.

use mainstay::kv::{self, Entity};
use mainstay::{ReadError, Time, View};

use super::action::Read;
use super::reply::Output;
use super::wrong::unreadable;

/// Writes the reply to a read.
pub async fn read(view: &View<Entity>, read: &Read<'_>, now: Time, output: &mut Output) {
    let written = match read {
        Read::GetMany(keys) => get_many(view, keys, now, output).await,
        Read::Exists(keys) => exists(view, keys, now, output).await,
        Read::Get(key) | Read::Length(key) | Read::Lifetime(key, _) | Read::Type(key) => {
            kv::read(view, key, now).await.map(|entity| one(read, entity.as_deref(), now, output))
        }
    };
    if let Err(error) = written {
        output.error(unreadable(error));
    }
}

/// `DBSIZE`: as in Redis, what has expired and was not swept yet counts.
pub fn size(view: &View<Entity>, output: &mut Output) {
    match view.shards().map(|shard| view.len(shard)).sum::<Result<usize, _>>() {
        Ok(count) => output.count(count),
        Err(error) => output.error(unreadable(error)),
    }
}

fn one(read: &Read<'_>, entity: Option<&Entity>, now: Time, output: &mut Output) {
    match read {
        Read::Length(_) => output.count(entity.map_or(0, |entity| entity.value().len())),
        Read::Lifetime(_, unit_ms) => output.integer(lifetime(entity, *unit_ms, now)),
        Read::Type(_) => output.simple(if entity.is_some() { "string" } else { "none" }),
        _ => output.bulk_or_null(entity.map(Entity::value)),
    }
}

/// Time to live, rounded to the nearest unit; -2: no such key, -1: it stays.
fn lifetime(entity: Option<&Entity>, unit_ms: u64, now: Time) -> i64 {
    match entity.map(Entity::expires_ms) {
        None => -2,
        Some(None) => -1,
        Some(Some(expires_ms)) => {
            let left_ms = expires_ms.saturating_sub(now.as_millis());
            i64::try_from(left_ms.saturating_add(unit_ms / 2) / unit_ms).unwrap_or(i64::MAX)
        }
    }
}

async fn get_many(view: &View<Entity>, keys: &[&[u8]], now: Time, output: &mut Output) -> Result<(), ReadError> {
    let found = kv::read_many(view, keys, now).await?;
    output.bulks(found.iter().map(|entity| entity.as_deref().map(Entity::value)));
    Ok(())
}

async fn exists(view: &View<Entity>, keys: &[&[u8]], now: Time, output: &mut Output) -> Result<(), ReadError> {
    output.count(kv::read_many(view, keys, now).await?.iter().flatten().count());
    Ok(())
}
