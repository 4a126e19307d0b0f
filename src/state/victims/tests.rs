//! Whom a spill takes, and how good a choice that is.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use siphasher::sip::SipHasher13;

use super::*;
use crate::model::{ColdSeq, Location};
use crate::state::map::{Found, Key};

const VALUE: usize = 1024;

fn hash(key: u32) -> u64 {
    u64::from(key).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn here(key: u32) -> Arc<Entry<u32>> {
    Arc::new(Entry::new(hash(key), Key::from_slice(&key.to_be_bytes()), key, VALUE))
}

fn gain() -> u64 {
    (here(0).bytes() - Entry::<u32>::cold_bytes(&[0; 4])) as u64
}

fn number(entry: &Entry<u32>) -> u32 {
    u32::from_be_bytes(entry.key().try_into().unwrap())
}

/// Spills so many bytes, and says whom.
fn spill(map: &mut Map<u32>, hand: &mut Cursor, bytes: u64) -> Vec<u32> {
    let (root, mut taken) = (map.clone(), Vec::new());
    let freed = pick(&root, hand, bytes, |entry| {
        taken.push(Arc::clone(entry));
        Ok::<_, Infallible>(true)
    });
    assert_eq!(freed, Ok(taken.len() as u64 * gain()));
    for was in &taken {
        let at = Location { file: ColdSeq(1), sector: 1, sectors: 8, slot: 0 };
        assert!(map.replace(was, Arc::new(Entry::cold(was.hash(), Key::from_slice(was.key()), at))), "once only");
    }
    map.tick();
    taken.iter().map(|entry| number(entry)).collect()
}

#[test]
fn the_oldest_go_first_when_nobody_reads() {
    let (mut map, mut hand) = (Map::new(), Cursor::START);
    for age in 0..4 {
        (age * 100..age * 100 + 100).for_each(|key| _ = map.insert(here(key)));
        map.tick();
    }
    for age in 0..4 {
        let gone: BTreeSet<u32> = spill(&mut map, &mut hand, 100 * gain()).into_iter().collect();
        let own = gone.range(age * 100..age * 100 + 100).count();
        // It looks at samples, not at all of them.
        assert!(gone.len() >= 100 && own >= 80, "{own} of {} are the oldest", gone.len());
    }
}

#[test]
fn what_is_read_stays() {
    let (mut map, mut hand) = (Map::new(), Cursor::START);
    (0..1_000).for_each(|key| _ = map.insert(here(key)));
    map.tick();
    for _ in 0..4 {
        (0..1_000).step_by(10).for_each(|key| _ = map.get(hash(key), &u32::to_be_bytes(key)));
        let gone = spill(&mut map, &mut hand, 100 * gain());
        assert!(gone.len() >= 100 && gone.iter().all(|key| key % 10 != 0));
        assert!(gone.windows(2).filter(|pair| hash(pair[0]) > hash(pair[1])).count() <= 1, "in the order of hashes");
    }
}

#[test]
fn what_nobody_takes_is_passed_over() {
    let (mut map, mut hand) = (Map::new(), Cursor::START);
    (0..1_000).for_each(|key| _ = map.insert(here(key)));
    let mut taken = BTreeSet::new();
    // Ten of them can go: they are found among all the others.
    for _ in 0..8 {
        let freed = pick(&map, &mut hand, 10 * gain(), |entry| {
            let takes = number(entry) % 100 == 7;
            taken.extend(takes.then(|| number(entry)));
            Ok::<_, Infallible>(takes)
        });
        assert!(freed.is_ok_and(|freed| freed <= 10 * gain()));
    }
    assert_eq!(taken.len(), 10);
    assert_eq!(pick(&Map::<u32>::new(), &mut hand, 1, |_| Ok::<_, Infallible>(true)), Ok(0), "nothing is there");
    assert_eq!(pick(&map, &mut hand, 1, |_| Err("a full disk")), Err("a full disk"));
}

/// Keys by how often they are asked for: the n-th most frequent one comes with a weight of `1 / n ^ skew`.
fn zipf(keys: u32, skew: f64, length: usize) -> Vec<u32> {
    let mut sum = 0.0;
    let weights = (1..=keys).map(|rank| {
        sum += f64::from(rank).powf(-skew);
        sum
    });
    let sums: Vec<f64> = weights.collect();
    let draws = (0..length as u64).map(|draw| {
        // What a good hash makes of a number is as good as a random one, and the same each time.
        let random = SipHasher13::new_with_keys(7, 7).hash(&draw.to_le_bytes());
        let at = random as f64 / u64::MAX as f64 * sum;
        sums.partition_point(|upto| *upto < at) as u32
    });
    draws.collect()
}

/// Everything that is asked for comes to memory; so much has room there.
fn hits_of_spills(trace: &[u32], room: usize, keys: u32) -> usize {
    let (mut map, mut hand, mut hits) = (Map::new(), Cursor::START, 0);
    (0..keys).for_each(|key| _ = map.insert(here(key)));
    spill(&mut map, &mut hand, u64::from(keys) * gain());
    assert_eq!(map.cold(), keys as usize);
    for key in trace {
        if let Some(Found::Here(_)) = map.get(hash(*key), &key.to_be_bytes()) {
            hits += 1;
            continue;
        }
        map.insert(here(*key));
        if map.len() - map.cold() > room {
            spill(&mut map, &mut hand, (room / 16) as u64 * gain());
        }
    }
    hits
}

/// What a list in the order of use would have.
fn hits_of_lru(trace: &[u32], room: usize) -> usize {
    let (mut by_use, mut last_use, mut hits) = (BTreeMap::new(), BTreeMap::new(), 0);
    for (now, key) in trace.iter().enumerate() {
        if let Some(before) = last_use.insert(*key, now) {
            by_use.remove(&before);
            hits += 1;
        }
        by_use.insert(now, *key);
        if by_use.len() > room
            && let Some((_, oldest)) = by_use.pop_first()
        {
            last_use.remove(&oldest);
        }
    }
    hits
}

/// Within five points of what least recently used would have, whatever the skew and the room.
#[test]
fn as_good_as_least_recently_used_within_five_points() {
    let (keys, length) = (5_000, 50_000);
    for (skew, percent) in [(0.7, 10), (0.99, 5), (0.99, 10), (0.99, 40), (1.2, 10)] {
        let (trace, room) = (zipf(keys, skew, length), keys as usize * percent / 100);
        let rate = |hits: usize| hits as f64 * 100.0 / length as f64;
        let (ours, lru) = (rate(hits_of_spills(&trace, room, keys)), rate(hits_of_lru(&trace, room)));
        println!("skew {skew}, {percent} % in memory: {ours:.1} % hits, least recently used {lru:.1} %");
        assert!(ours >= lru - 5.0);
    }
}
