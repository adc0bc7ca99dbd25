//! How a kernel runs: on which instruction set, and on how many threads.

use std::sync::{Arc, Mutex, PoisonError};

use crate::buffer::check_scratch;
use crate::isa::Isa;

/// The threads that a kernel may use.
///
/// Work is cut into tasks whose results do not depend on who computes them, so that every kernel gives the same
/// bytes on any number of threads.
#[derive(Clone, Debug)]
pub struct Threads(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Caller,
    Shared,
    Own(Arc<rayon::ThreadPool>),
}

/// The most threads that one kernel uses.
const MOST: usize = 64;

impl Threads {
    /// The calling thread alone.
    pub const CALLER: Threads = Threads(Kind::Caller);

    /// The pool that the whole process shares (rayon's global one), for kernels that run inside another program's
    /// parallel work.
    pub const SHARED: Threads = Threads(Kind::Shared);

    /// A pool of `count` threads of its own; 0 and 1 mean the calling thread alone. Where the system grants no more
    /// threads, the calling thread does all the work.
    pub fn new(count: usize) -> Self {
        if count <= 1 {
            return Self::CALLER;
        }
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(count)
            .thread_name(|i| format!("kernels-{i}"))
            .build();
        pool.map_or(Self::CALLER, |pool| Self(Kind::Own(Arc::new(pool))))
    }

    /// How many tasks can run at the same time, at most 64.
    pub fn count(&self) -> usize {
        match &self.0 {
            Kind::Caller => 1,
            Kind::Shared => rayon::current_num_threads().min(MOST),
            Kind::Own(pool) => pool.current_num_threads().min(MOST),
        }
    }

    /// Calls `task` once for each item, in any order and possibly at the same time.
    pub fn each<I>(&self, items: I, task: impl Fn(I::Item) + Sync)
    where
        I: Iterator<Item: Send> + Send,
    {
        self.each_with(&mut [(); MOST], items, |(), item| task(item));
    }

    /// Like [`Threads::each`], lending each thread `share` values of `scratch` for all of its items.
    ///
    /// # Panics
    /// If the scratch space holds no share for one thread; fewer shares than threads let fewer threads run.
    pub(crate) fn each_with_scratch<T, I>(
        &self,
        scratch: &mut [T],
        share: usize,
        items: I,
        task: impl Fn(&mut [T], I::Item) + Sync,
    ) where
        T: Send,
        I: Iterator<Item: Send> + Send,
    {
        check_scratch(scratch.len(), share);
        let shares = scratch.len().checked_div(share).unwrap_or(MOST).clamp(1, MOST);
        let mut rest = scratch;
        let mut workers: [&mut [T]; MOST] = std::array::from_fn(|_| {
            let (part, left) =
                std::mem::take(&mut rest).split_at_mut_checked(share).unwrap_or_default();
            rest = left;
            part
        });
        self.each_with(&mut workers[..shares], items, |worker, item| task(worker, item));
    }

    /// Like [`Threads::each`], lending each thread one of `workers` (its scratch space) for all of its items. No more
    /// threads run than there are workers.
    ///
    /// # Panics
    /// If there is no worker.
    pub fn each_with<W, I>(
        &self,
        workers: &mut [W],
        items: I,
        task: impl Fn(&mut W, I::Item) + Sync,
    ) where
        W: Send,
        I: Iterator<Item: Send> + Send,
    {
        assert!(!workers.is_empty(), "the items need a worker");
        let most = items.size_hint().1.unwrap_or(usize::MAX);
        let running = self.count().min(workers.len()).min(most);
        if running <= 1 {
            items.for_each(|item| task(&mut workers[0], item));
            return;
        }
        let items = Mutex::new(items);
        // A task that panics does so outside the lock, so the lock is never poisoned by it.
        let next = || items.lock().unwrap_or_else(PoisonError::into_inner).next();
        let (next, task) = (&next, &task);
        let mut spawn_all = || {
            rayon::scope(|scope| {
                for worker in &mut workers[..running] {
                    scope.spawn(move |_| {
                        while let Some(item) = next() {
                            task(worker, item);
                        }
                    });
                }
            });
        };
        match &self.0 {
            Kind::Own(pool) => pool.install(spawn_all),
            _ => spawn_all(),
        }
    }
}

/// How kernels run: the first argument of every operation of this crate.
#[derive(Clone, Debug)]
pub struct Cpu {
    isa: Isa,
    threads: Threads,
}

impl Cpu {
    /// Runs on these instructions and threads.
    pub fn new(isa: Isa, threads: Threads) -> Self {
        Self { isa, threads }
    }

    /// Runs on the calling thread alone, as inside a task of a larger parallel job.
    pub fn single(isa: Isa) -> Self {
        Self::new(isa, Threads::CALLER)
    }

    /// The instruction set.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// The threads.
    pub fn threads(&self) -> &Threads {
        &self.threads
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_taken_once_on_any_number_of_threads() {
        for threads in
            [Threads::CALLER, Threads::SHARED, Threads::new(0), Threads::new(2), Threads::new(5)]
        {
            for items in [0, 1, 2, 3, 100] {
                let mut runs = vec![0; items];
                threads.each(runs.iter_mut().enumerate(), |(i, run)| *run += i + 1);
                assert!(
                    runs.iter().enumerate().all(|(i, run)| *run == i + 1),
                    "{threads:?}, {items} items"
                );
            }
        }
    }

    #[test]
    fn workers_are_lent_to_one_thread_at_a_time() {
        let mut sums = [0usize; 3];
        Threads::new(8).each_with(&mut sums, 0..1000, |sum, i| *sum += i);
        assert_eq!(sums.iter().sum::<usize>(), 499_500);
    }

    #[test]
    fn parallel_work_nests() {
        let threads = Threads::new(3);
        let mut grid = vec![0; 60];
        threads.each(grid.chunks_mut(10), |row| threads.each(row.iter_mut(), |cell| *cell += 1));
        assert_eq!(grid, [1; 60]);
    }
}
