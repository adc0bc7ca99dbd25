//! How a kernel runs: on which instruction set, and on how many threads.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

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

    /// As many threads as the system says can run at once.
    pub fn all() -> Self {
        Self::new(std::thread::available_parallelism().map_or(1, NonZeroUsize::get))
    }

    /// How many tasks can run at the same time.
    pub fn count(&self) -> usize {
        match &self.0 {
            Kind::Caller => 1,
            Kind::Shared => rayon::current_num_threads(),
            Kind::Own(pool) => pool.current_num_threads(),
        }
    }

    /// Calls `task` with 0..tasks, each once, in any order and possibly at the same time.
    pub fn for_each(&self, tasks: usize, task: impl Fn(usize) + Sync) {
        let mut workers = [(); 64];
        let count = self.count().min(workers.len());
        self.for_each_with(&mut workers[..count], tasks, |(), index| task(index));
    }

    /// Like [`Threads::for_each`], lending each thread one of `workers` (its scratch space) for all of its tasks.
    /// No more threads run than there are workers.
    ///
    /// # Panics
    /// If there are tasks but no worker.
    pub fn for_each_with<W: Send>(
        &self,
        workers: &mut [W],
        tasks: usize,
        task: impl Fn(&mut W, usize) + Sync,
    ) {
        assert!(tasks == 0 || !workers.is_empty(), "{tasks} tasks need a worker");
        let running = self.count().min(workers.len()).min(tasks);
        if running <= 1 {
            (0..tasks).for_each(|index| task(&mut workers[0], index));
            return;
        }
        let next = AtomicUsize::new(0);
        let work = |worker: &mut W| {
            // Relaxed: the counter hands out numbers; the scope's end publishes the results.
            while let Some(index) =
                Some(next.fetch_add(1, Ordering::Relaxed)).filter(|&index| index < tasks)
            {
                task(worker, index);
            }
        };
        let work = &work;
        let mut spawn_all = || {
            rayon::scope(|scope| {
                for worker in &mut workers[..running] {
                    scope.spawn(move |_| work(worker));
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
    fn every_task_runs_once_on_any_number_of_threads() {
        for threads in
            [Threads::CALLER, Threads::SHARED, Threads::new(0), Threads::new(2), Threads::new(5)]
        {
            for tasks in [0, 1, 2, 3, 100] {
                let runs: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                threads.for_each(tasks, |i| {
                    runs[i].fetch_add(1, Ordering::Relaxed);
                });
                assert!(
                    runs.iter().all(|run| run.load(Ordering::Relaxed) == 1),
                    "{threads:?}, {tasks} tasks"
                );
            }
        }
    }

    #[test]
    fn workers_are_lent_to_one_thread_at_a_time() {
        let mut sums = [0usize; 3];
        Threads::new(8).for_each_with(&mut sums, 1000, |sum, i| *sum += i);
        assert_eq!(sums.iter().sum::<usize>(), 499_500);
    }
}
