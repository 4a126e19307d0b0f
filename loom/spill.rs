//! A spill beside readers: roots that refer to a cold file, and the file's end.
//!
//! In scope: a thread that writes a file and hands its completion over through a mailbox; the shard, which publishes
//! roots, hands over, overwrites and has the file unlinked once its newest root does not refer to it; a reader that
//! takes any root at any moment and reads through it. A file is a cell: what was written, which whoever has it open
//! reads, unlinked or not. Not modelled: the manifest, crashes and failures (`tests/explore/spill`), and pages.

use loom::sync::Mutex;
use mainstay::model::Position;
use mainstay::sync::Arc;
use mainstay::sync::published::{Positioned, Published};

use crate::support::{Mailbox, bounded, position, spawn};

const KEPT: u8 = 1;
const OVERWRITTEN: u8 = 2;

/// A cold file of two values, as whoever has it open sees it.
struct File {
    written: Mutex<Option<[u8; 2]>>,
    is_named: Mutex<bool>,
}

impl File {
    fn new() -> Arc<Self> {
        Arc::new(Self { written: Mutex::new(None), is_named: Mutex::new(true) })
    }

    fn write(&self, values: [u8; 2]) {
        *self.written.lock().unwrap() = Some(values);
    }

    fn read(&self, slot: usize) -> u8 {
        let values = self.written.lock().unwrap().expect("a value cannot be read");
        *values.get(slot).unwrap()
    }

    /// Its name goes; what is open stays open.
    fn unlink(&self) {
        assert!(std::mem::take(&mut *self.is_named.lock().unwrap()), "unlinked twice");
    }

    /// It goes for everybody.
    fn close(&self) {
        *self.written.lock().unwrap() = None;
    }
}

#[derive(Clone)]
enum Value {
    /// An allocation, which is told from any other of the same value.
    Here(Arc<u8>),
    Cold(Arc<File>, usize),
}

fn here(value: u8) -> Value {
    Value::Here(Arc::new(value))
}

impl Value {
    fn is_same(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Here(one), Self::Here(other)) if Arc::ptr_eq(one, other))
    }

    fn read(&self) -> u8 {
        match self {
            Self::Here(value) => **value,
            Self::Cold(file, slot) => file.read(*slot),
        }
    }
}

/// Two keys. Their values follow from where the root ends: the second was overwritten by the command at 1.
struct Root {
    end: Position,
    values: [Value; 2],
}

impl Positioned for Root {
    fn end(&self) -> Position {
        self.end
    }
}

impl Root {
    fn new(end: u64, values: [Value; 2]) -> Arc<Self> {
        Arc::new(Self { end: position(1, end), values })
    }

    /// Reads all of it.
    fn check(&self) {
        let second = if self.end.lsn.0 > 1 { OVERWRITTEN + 1 } else { OVERWRITTEN };
        assert_eq!(self.values.each_ref().map(Value::read), [KEPT, second], "a root has another's value");
    }
}

/// What the shard is told.
enum Mail {
    /// The file is complete, and adopted; it has what lay there.
    Written(Arc<File>, [Value; 2]),
    /// The second is overwritten; then the first, with the same value: nothing of an earlier file is live any more.
    Second,
    First,
}

/// What differs between the model and its twins.
#[derive(Clone, Copy)]
struct Ways {
    /// The thread says that the file is there, and then writes it.
    is_told_first: bool,
    /// A file of which nothing is live is closed for everybody.
    is_closed: bool,
}

/// The shard: publishes after everything it does, and ends when its last message was served.
fn serve(mailbox: &Mailbox<Mail>, published: &Published<Root>, ways: Ways) {
    let (mut end, mut values) = (1, [here(KEPT), here(OVERWRITTEN)]);
    let (mut file, mut is_over) = (None::<Arc<File>>, false);
    while file.is_none() || !is_over {
        match mailbox.receive().unwrap() {
            Mail::Written(written, spilled) => {
                for (slot, (value, was)) in values.iter_mut().zip(&spilled).enumerate() {
                    if value.is_same(was) {
                        *value = Value::Cold(Arc::clone(&written), slot);
                    }
                }
                file = Some(written);
            }
            Mail::Second => {
                end += 1;
                *values.get_mut(1).unwrap() = here(OVERWRITTEN + 1);
            }
            Mail::First => {
                end += 1;
                is_over = true;
                *values.get_mut(0).unwrap() = here(KEPT);
            }
        }
        drop(published.publish(Root::new(end, values.clone())));
    }
    // Whatever of the file is live is overwritten too. Then the keeper is told; readers of old roots have it open.
    drop(published.publish(Root::new(end, [here(KEPT), here(OVERWRITTEN + 1)])));
    let file = file.unwrap();
    if ways.is_closed { file.close() } else { file.unlink() }
}

fn a_spill_against_a_reader(ways: Ways) {
    bounded(3, move || {
        let mailbox = Arc::new(Mailbox::new());
        let root = Root::new(1, [here(KEPT), here(OVERWRITTEN)]);
        let published = Arc::new(Published::new(root));
        let shard = spawn({
            let (mailbox, published) = (Arc::clone(&mailbox), Arc::clone(&published));
            move || serve(&mailbox, &published, ways)
        });
        let spiller = spawn({
            let (mailbox, published) = (Arc::clone(&mailbox), Arc::clone(&published));
            move || {
                let root = published.latest();
                let file = File::new();
                // The root's own values, whatever the shard does meanwhile.
                let values = root.values.each_ref().map(Value::read);
                let written = Mail::Written(Arc::clone(&file), root.values.clone());
                if ways.is_told_first {
                    let _ = mailbox.send(written);
                    file.write(values);
                } else {
                    file.write(values);
                    let _ = mailbox.send(written);
                }
            }
        });
        // The reader is the client too: a thread less.
        let early = published.latest();
        early.check();
        let _ = mailbox.send(Mail::Second);
        let late = published.latest();
        assert!(early.end() <= late.end(), "a reader goes back");
        late.check();
        let _ = mailbox.send(Mail::First);
        published.latest().check();
        // An old root is read again, whatever has become of its file.
        early.check();
        shard.join();
        early.check();
        late.check();
        spiller.join();
    });
}

const WELL: Ways = Ways { is_told_first: false, is_closed: false };

/// Every read finds the value of its root, before, during and after a spill (bounded). Guards F43, F44, F51.
#[test]
fn a_spill_is_not_seen() {
    a_spill_against_a_reader(WELL);
}

/// The twin has the location in the root before the file is complete.
#[test]
#[should_panic(expected = "a value cannot be read")]
fn twin_a_spill_told_before_the_file_is_there() {
    a_spill_against_a_reader(Ways { is_told_first: true, ..WELL });
}

/// The twin takes the file away from whoever has it open.
#[test]
#[should_panic(expected = "a value cannot be read")]
fn twin_a_spill_closed_under_a_reader() {
    a_spill_against_a_reader(Ways { is_closed: true, ..WELL });
}
