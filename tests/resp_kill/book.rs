//! What a client of the server has sent and heard, and whether a restarted server agrees.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::mpsc::Sender;

use crate::random::Random;
use crate::resp::{Raw, request};

/// What one client knows of its own keys. Its n-th request follows from n alone, so numbers are all there is to
/// record.
#[derive(Clone)]
pub struct Book {
    name: usize,
    /// Keys and values that have to be there: acknowledged, or seen.
    certain: BTreeMap<String, String>,
    /// The counter has at least this, and the marker.
    count: u64,
    marker: Option<u64>,
    /// Requests of earlier rounds.
    base: u64,
    /// Requests so far that were sent, and that were acknowledged.
    pub sent: u64,
    pub acknowledged: u64,
}

/// What the n-th request does.
enum Deed {
    Put(String, String),
    Increment,
    Mark(u64),
}

impl Book {
    pub fn new(name: usize) -> Self {
        let certain = BTreeMap::new();
        Self { name, certain, count: 0, marker: None, base: 0, sent: 0, acknowledged: 0 }
    }

    fn deed(&self, number: u64) -> Deed {
        match number % 3 {
            0 => Deed::Put(format!("{}:{number}", self.name), format!("{number}").repeat(9)),
            1 => Deed::Increment,
            _ => Deed::Mark(number),
        }
    }

    fn counter(&self) -> String {
        format!("{}:count", self.name)
    }

    fn marker_key(&self) -> String {
        format!("{}:marker", self.name)
    }

    /// The n-th request as bytes.
    fn request(&self, number: u64) -> Vec<u8> {
        match self.deed(number) {
            Deed::Put(key, value) => request(&[b"SET", key.as_bytes(), value.as_bytes()]),
            Deed::Increment => request(&[b"INCR", self.counter().as_bytes()]),
            Deed::Mark(number) => {
                let number = number.to_string();
                request(&[b"SET", self.marker_key().as_bytes(), number.as_bytes()])
            }
        }
    }

    /// Sends pipelines until the server is gone.
    pub fn work(mut self, mut raw: Raw, mut random: Random, told: &Sender<()>) -> Self {
        let mut incremented = self.count;
        loop {
            let requests = 1 + random.below(24);
            let bytes: Vec<u8> = (0..requests).flat_map(|n| self.request(self.sent + n)).collect();
            self.sent += requests;
            let failed = raw.writer().write_all(&bytes).is_err();
            for _ in 0..requests {
                let Some(reply) = raw.read_line() else {
                    return self;
                };
                let expected = match self.deed(self.acknowledged) {
                    Deed::Increment => {
                        incremented += 1;
                        format!(":{incremented}")
                    }
                    Deed::Put(..) | Deed::Mark(_) => "+OK".to_owned(),
                };
                assert_eq!(reply, expected);
                self.acknowledged += 1;
                let _ = told.send(());
            }
            if failed {
                return self;
            }
        }
    }

    /// Compares with what is there, which is certain from now on. Returns how many keys that are.
    pub fn check(&mut self, raw: &mut Raw) -> usize {
        let (mut least, mut most) = (self.count, self.count);
        let (mut marker, mut markers) = (self.marker, vec![self.marker]);
        let mut possible = Vec::new();
        for number in self.base..self.sent {
            let is_acknowledged = number < self.acknowledged;
            match self.deed(number) {
                Deed::Put(key, value) if is_acknowledged => drop(self.certain.insert(key, value)),
                Deed::Put(key, value) => possible.push((key, value)),
                Deed::Increment => {
                    least += u64::from(is_acknowledged);
                    most += 1;
                }
                Deed::Mark(number) => {
                    markers.push(Some(number));
                    marker = if is_acknowledged { Some(number) } else { marker };
                }
            }
        }
        let certain: Vec<_> = self.certain.clone().into_iter().collect();
        for ((key, value), found) in certain.iter().zip(get(raw, &certain)) {
            assert_eq!(found.as_ref(), Some(value), "acknowledged: {key}");
        }
        for ((key, value), found) in possible.iter().zip(get(raw, &possible)) {
            if let Some(found) = found {
                assert_eq!(&found, value, "whole or absent: {key}");
                self.certain.insert(key.clone(), found);
            }
        }
        let numbers = [self.counter(), self.marker_key()].map(|key| (key, String::new()));
        let found = get(raw, &numbers);
        let numbers: Vec<Option<u64>> =
            found.into_iter().map(|found| found.map(|text| text.parse().unwrap())).collect();
        let count = numbers[0].unwrap_or(0);
        assert!((least..=most).contains(&count), "counted {count}, not from {least} to {most}");
        assert!(numbers[1] >= marker && markers.contains(&numbers[1]), "{:?}", numbers[1]);
        (self.count, self.marker) = (count, numbers[1]);
        (self.base, self.acknowledged) = (self.sent, self.sent);
        self.certain.len() + numbers.iter().flatten().count()
    }
}

fn get(raw: &mut Raw, entries: &[(String, String)]) -> Vec<Option<String>> {
    let mut values = Vec::new();
    for entries in entries.chunks(500) {
        let keys = entries.iter().map(|(key, _)| key.as_bytes());
        let words: Vec<&[u8]> = std::iter::once(&b"MGET"[..]).chain(keys).collect();
        raw.send(request(&words));
        raw.expect(format!("*{}\r\n", entries.len()));
        let found = entries.iter().map(|_| raw.read_bulk());
        values.extend(found.map(|found| found.map(|bytes| String::from_utf8(bytes).unwrap())));
    }
    values
}
