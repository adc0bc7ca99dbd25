//! Workers: items in, outcomes out, one at a time.

use std::any::Any;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::{Item, ItemKey};

/// An item that a worker is through with.
#[derive(Debug)]
pub struct Finished<T> {
    /// Its name.
    pub item: String,
    /// What `predictions.csv` calls it.
    pub label: String,
    /// What the journal knows it by.
    pub key: ItemKey,
    /// What came of it, or why nothing did, in a sentence.
    pub outcome: Result<T, String>,
    /// How long it took.
    pub took: Duration,
}

/// Whether the run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// With the next item.
    GoOn,
    /// No further item is begun.
    Stop,
}

/// Puts items through `workers` threads and hands each outcome to `keep` on this thread, in the order
/// in which they finish.
///
/// `work` hears which worker it is, from 0, and gives an outcome or a sentence that says why there is
/// none; a panic in it is such a sentence too, for a single picture must not end a night's run. At most
/// two items a worker are held in memory.
///
/// # Errors
/// The first of `keep`; no further item is begun then.
pub fn run<T: Send, E>(
    items: &mut (dyn Iterator<Item = (Item, ItemKey)> + Send),
    workers: NonZeroUsize,
    work: &(dyn Fn(usize, &Item) -> Result<T, String> + Sync),
    keep: &mut dyn FnMut(Finished<T>) -> Result<Verdict, E>,
) -> Result<(), E> {
    let (feed, fed) = sync_channel::<(Item, ItemKey)>(workers.get());
    let fed = Mutex::new(fed);
    let (hand_in, handed_in) = sync_channel::<Finished<T>>(workers.get());
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for item in items {
                // The workers are gone: the run was stopped.
                if feed.send(item).is_err() {
                    break;
                }
            }
        });
        for worker in 0..workers.get() {
            let (fed, hand_in) = (&fed, hand_in.clone());
            scope.spawn(move || {
                while let Some((item, key)) = next(fed) {
                    let started = Instant::now();
                    let outcome = catch_unwind(AssertUnwindSafe(|| work(worker, &item)));
                    let outcome = outcome.unwrap_or_else(|panic| Err(sentence(panic.as_ref())));
                    let took = started.elapsed();
                    let Item { name, label, .. } = item;
                    let finished = Finished { item: name, label, key, outcome, took };
                    if hand_in.send(finished).is_err() {
                        break;
                    }
                }
            });
        }
        drop(hand_in);
        let outcome = take(&handed_in, keep);
        // Both ends fall: workers that wait to hand in, and the feeder that waits for workers.
        drop(handed_in);
        drain(&fed);
        outcome
    })
}

fn take<T, E>(
    handed_in: &Receiver<Finished<T>>,
    keep: &mut dyn FnMut(Finished<T>) -> Result<Verdict, E>,
) -> Result<(), E> {
    for finished in handed_in {
        if keep(finished)? == Verdict::Stop {
            break;
        }
    }
    Ok(())
}

/// The next item; none at the end.
fn next(fed: &Mutex<Receiver<(Item, ItemKey)>>) -> Option<(Item, ItemKey)> {
    fed.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

/// Puts a channel without items in the place of the feeder's, whose sending then fails.
fn drain(fed: &Mutex<Receiver<(Item, ItemKey)>>) {
    let (_, nothing) = sync_channel(0);
    *fed.lock().unwrap_or_else(PoisonError::into_inner) = nothing;
}

fn sentence(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
    format!("the program failed on it, which is a fault of the program: {text}")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::convert::Infallible;

    use super::*;

    fn items(count: u64) -> impl Iterator<Item = (Item, ItemKey)> + Send {
        (0..count).map(|at| {
            let name = format!("item{at}");
            (Item::of_file(&name, name.clone().into(), None).unwrap(), ItemKey(at))
        })
    }

    fn three() -> NonZeroUsize {
        NonZeroUsize::new(3).unwrap()
    }

    #[test]
    fn every_item_is_handed_in_once() {
        let mut seen = HashSet::new();
        let work = |worker: usize, item: &Item| {
            assert!(worker < 3);
            if item.name.ends_with('7') {
                Err("an odd one".to_owned())
            } else {
                Ok(item.name.len())
            }
        };
        let mut failures = 0;
        let outcome: Result<(), Infallible> =
            run(&mut items(500), three(), &work, &mut |finished| {
                failures += usize::from(finished.outcome.is_err());
                assert!(seen.insert(finished.key));
                Ok(Verdict::GoOn)
            });
        outcome.unwrap();
        assert_eq!((seen.len(), failures), (500, 50));
    }

    #[test]
    fn a_panic_is_the_failure_of_one_item() {
        let work = |_: usize, item: &Item| match item.name.as_str() {
            "item5" => panic!("index out of bounds"),
            _ => Ok(()),
        };
        let (mut done, mut reasons) = (0, Vec::new());
        let outcome: Result<(), Infallible> =
            run(&mut items(20), three(), &work, &mut |finished| {
                match finished.outcome {
                    Ok(()) => done += 1,
                    Err(reason) => reasons.push(reason),
                }
                Ok(Verdict::GoOn)
            });
        outcome.unwrap();
        assert_eq!(done, 19);
        assert!(reasons[0].ends_with("a fault of the program: index out of bounds"), "{reasons:?}");
    }

    #[test]
    fn a_run_that_is_stopped_ends_without_the_rest() {
        for error in [false, true] {
            let mut kept = 0;
            let outcome = run(&mut items(100_000), three(), &|_, _| Ok(()), &mut |_| {
                kept += 1;
                match (kept, error) {
                    (10, true) => Err("the disk is full"),
                    (10, false) => Ok(Verdict::Stop),
                    _ => Ok(Verdict::GoOn),
                }
            });
            assert_eq!((outcome.is_err(), kept), (error, 10));
        }
    }
}
