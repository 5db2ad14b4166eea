//! The one thread that writes: it takes all jobs that wait, has them done in one transaction, and lets them be answered.

use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tracing::error;

use super::{Database, SqliteLoad, closed, failure, unavailable};
use crate::measure::Histogram;
use crate::store::StoreError;

/// Where the answer to a job goes. A caller that went away does not need it.
pub(in crate::store) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// A handle on the thread. Dropping it waits for the jobs that were handed over.
pub(in crate::store) struct Writer<J> {
    /// `None` only while it is dropped.
    jobs: Option<mpsc::Sender<Task<J>>>,
    thread: Option<JoinHandle<()>>,
    commits: Arc<Histogram>,
}

impl<J> fmt::Debug for Writer<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

enum Task<J> {
    Job(J),
    Look(Box<dyn FnOnce(&Database) + Send>),
}

impl<J: Send + 'static> Writer<J> {
    /// Starts the thread. `turn` gets all jobs that wait, in their order, and answers each.
    pub(in crate::store) fn start(
        database: Database,
        queue: usize,
        turn: impl FnMut(&mut Database, Vec<J>) + Send + 'static,
    ) -> Result<Self, StoreError> {
        let commits = database.commits.clone();
        let (jobs, queue) = mpsc::channel(queue.max(1));
        let thread = std::thread::Builder::new().name(format!("talk-{}-store", database.what));
        let thread = thread.spawn(move || run(database, queue, turn));
        let thread = thread.map_err(|e| unavailable("cannot start the writer thread", &e))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), commits })
    }

    /// Hands a job over and waits for its answer.
    pub(in crate::store) async fn ask<T>(&self, job: impl FnOnce(Reply<T>) -> J) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.hand_over(Task::Job(job(reply))).await?;
        answer.await.map_err(|_| closed())?
    }

    /// Looks at the database by the writer's own connection.
    pub(in crate::store) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Database) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let look = move |database: &Database| drop(reply.send(look(database)));
        self.hand_over(Task::Look(Box::new(look))).await?;
        answer.await.map_err(|_| closed())?.map_err(|e| failure(&e))
    }

    pub(in crate::store) fn load(&self) -> SqliteLoad {
        let waiting = self.jobs.as_ref().map_or(0, |jobs| jobs.max_capacity() - jobs.capacity());
        SqliteLoad { waiting, commits: self.commits.snapshot() }
    }

    async fn hand_over(&self, task: Task<J>) -> Result<(), StoreError> {
        match &self.jobs {
            Some(jobs) => jobs.send(task).await.map_err(|_| closed()),
            None => Err(closed()),
        }
    }
}

impl<J> Drop for Writer<J> {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic there was reported there.
            let _ = thread.join();
        }
    }
}

fn run<J>(mut database: Database, mut queue: mpsc::Receiver<Task<J>>, mut turn: impl FnMut(&mut Database, Vec<J>)) {
    let mut tasks = Vec::new();
    let (mut last, mut took) = (0, Duration::ZERO);
    while queue.blocking_recv_many(&mut tasks, GROUP) > 0 {
        gather(&mut queue, &mut tasks, last, (took / 4).min(PATIENCE));
        last = tasks.len();
        let start = Instant::now();
        let mut jobs = Vec::with_capacity(tasks.len());
        for task in tasks.drain(..) {
            match task {
                Task::Job(job) => jobs.push(job),
                Task::Look(look) => look(&database),
            }
        }
        turn(&mut database, jobs);
        took = start.elapsed();
        database.checkpoint();
    }
    let Database { connection, what, lock, .. } = database;
    if let Err(error) = connection.close() {
        error!(error = %error.1, "cannot close the {what}'s database");
    }
    // Only now may another process have the directory.
    drop(lock);
}

/// Waits a moment for those who were answered last and are about to come back. The first of them wakes this thread;
/// without the wait it would pay a whole sync for that one alone, and the others would wait for it.
fn gather<J>(queue: &mut mpsc::Receiver<Task<J>>, tasks: &mut Vec<Task<J>>, expected: usize, patience: Duration) {
    if tasks.len() >= expected {
        return;
    }
    let start = Instant::now();
    while tasks.len() < expected && start.elapsed() < patience {
        match queue.try_recv() {
            Ok(task) => tasks.push(task),
            Err(mpsc::error::TryRecvError::Empty) => std::thread::yield_now(),
            Err(mpsc::error::TryRecvError::Disconnected) => return,
        }
    }
}

/// Jobs that one transaction takes at most.
const GROUP: usize = 4096;
/// The longest wait for others to join a transaction; a quarter of the last one's duration, where that is less.
const PATIENCE: Duration = Duration::from_millis(1);
