//! Which engines there are, in the order of the tables.

use std::path::Path;
use std::pin::Pin;

use super::grouped::Grouped;
use crate::case::{Case, Scale};
use crate::engine::{Ability, Driven, Engine, Policy, Settings};
use crate::measure::Sample;
use crate::workload;

type Running<'a, R> = Pin<Box<dyn Future<Output = R> + 'a>>;

/// An engine whose type is forgotten.
pub struct Entry {
    pub name: &'static str,
    pub package: Option<&'static str>,
    pub driven: Driven,
    pub abilities: &'static [Ability],
    pub settings: fn(Policy) -> Settings,
    pub run: for<'a> fn(&'a Case, &'a Scale, &'a Path) -> Running<'a, Sample>,
    pub fill: for<'a> fn(&'a Case, &'a Scale, &'a Path) -> Running<'a, ()>,
}

impl Entry {
    fn of<E: Engine>() -> Self {
        Self {
            name: E::NAME,
            package: E::PACKAGE,
            driven: E::DRIVEN,
            abilities: E::ABILITIES,
            settings: E::settings,
            run: |case, scale, dir| Box::pin(workload::run::<E>(case, scale, dir)),
            fill: |case, scale, dir| Box::pin(workload::recovery::fill::<E>(case, scale, dir)),
        }
    }
}

/// All engines of this build.
pub fn all() -> Vec<Entry> {
    vec![
        Entry::of::<super::mainstay::Mainstay<false>>(),
        Entry::of::<super::mainstay::Mainstay<true>>(),
        Entry::of::<super::ahead::Ahead>(),
        Entry::of::<Grouped<super::wal::Wal>>(),
        Entry::of::<super::wal::Wal>(),
        Entry::of::<super::maps::Locked>(),
        Entry::of::<super::maps::Dash>(),
        #[cfg(feature = "rocksdb")]
        Entry::of::<super::rocksdb::RocksDb>(),
        #[cfg(feature = "rocksdb")]
        Entry::of::<Grouped<super::rocksdb::RocksDb>>(),
        Entry::of::<super::lmdb::Lmdb>(),
        Entry::of::<Grouped<super::lmdb::Lmdb>>(),
        Entry::of::<super::redb::Redb>(),
        Entry::of::<Grouped<super::redb::Redb>>(),
        Entry::of::<super::fjall::Fjall>(),
        Entry::of::<Grouped<super::fjall::Fjall>>(),
        Entry::of::<super::sled::Sled>(),
        Entry::of::<super::okaywal::Okaywal>(),
    ]
}

pub fn named(name: &str) -> Option<Entry> {
    all().into_iter().find(|entry| entry.name == name)
}
