//! Sending a reply row by row: the next row is computed when the one before has been taken, and at most one chunk
//! waits to be sent.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::Body;
use bytes::Bytes;
use http_body::Frame;
use medparse_wire::{Framing, ReplyEncoder};
use tokio::sync::mpsc;

use crate::errors::ApiError;
use crate::packed::PackedMask;
use crate::rows::{AnsweredRow, Job};
use crate::telemetry::Stage;

/// Pixels turned into base64 at a time: a multiple of 8 for the packed masks and of 3 for base64.
const PIECE: usize = 48 * 1024;

/// A chunk is sent when it has reached this size.
const CHUNK: usize = 64 * 1024;

/// The body of a reply, given its first row; the others are computed as it is read.
///
/// A row that fails breaks the transfer off, because its status can no longer be changed.
pub(crate) fn stream(job: Job, first: Option<AnsweredRow>, framing: Framing) -> Body {
    let (sender, receiver) = mpsc::channel(1);
    let writer = Writer {
        encoder: ReplyEncoder::new(framing),
        chunk: Vec::with_capacity(CHUNK + PIECE * 2),
        sender,
    };
    tokio::spawn(writer.run(job, first));
    Body::new(ReplyBody { receiver })
}

/// Nobody reads the reply any more.
struct Gone;

struct Writer {
    encoder: ReplyEncoder,
    chunk: Vec<u8>,
    sender: mpsc::Sender<Result<Bytes, io::Error>>,
}

impl Writer {
    async fn run(mut self, job: Job, first: Option<AnsweredRow>) {
        // A client that has gone is no failure of ours; the request's log line says how much was sent.
        let _ = self.write(&job, first).await;
    }

    async fn write(&mut self, job: &Job, mut first: Option<AnsweredRow>) -> Result<(), Gone> {
        self.encoder.begin(&mut self.chunk);
        for at in 0..job.prepared.rows.len() {
            let answered = match first.take() {
                Some(answered) => answered,
                None => self.next_row(job, at).await?,
            };
            self.write_row(job, &answered).await?;
        }
        self.encoder.end(&mut self.chunk);
        self.send().await
    }

    async fn next_row(&self, job: &Job, at: usize) -> Result<AnsweredRow, Gone> {
        let answered = tokio::select! {
            () = self.sender.closed() => return Err(Gone),
            answered = job.answer(at) => answered,
        };
        match answered {
            Ok(answered) => Ok(answered),
            Err(error) => {
                self.fail(job, &error).await;
                Err(Gone)
            }
        }
    }

    async fn fail(&self, job: &Job, error: &ApiError) {
        job.log.failed_midway(error);
        let _ = self.sender.send(Err(io::Error::other("a row failed"))).await;
    }

    async fn write_row(&mut self, job: &Job, answered: &AnsweredRow) -> Result<(), Gone> {
        let mut values = Vec::with_capacity(PIECE);
        self.encoder.begin_row(&mut self.chunk);
        for mask in &answered.masks {
            for start in (0..mask.pixels()).step_by(PIECE) {
                let started = Instant::now();
                self.write_piece(mask, start, &mut values);
                job.log.add(Stage::Write, started.elapsed());
                if self.chunk.len() >= CHUNK {
                    self.send().await?;
                }
            }
        }
        self.encoder.end_row(answered.shape, &answered.categories, &mut self.chunk);
        // A row is sent when it is done, however small: the next one may take seconds.
        self.send().await
    }

    fn write_piece(&mut self, mask: &PackedMask, start: usize, values: &mut Vec<u8>) {
        values.clear();
        mask.unpack(start, PIECE, values);
        self.encoder.mask(values, &mut self.chunk);
    }

    async fn send(&mut self) -> Result<(), Gone> {
        let chunk = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK + PIECE * 2));
        self.sender.send(Ok(Bytes::from(chunk))).await.map_err(|_| Gone)
    }
}

struct ReplyBody {
    receiver: mpsc::Receiver<Result<Bytes, io::Error>>,
}

impl http_body::Body for ReplyBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.receiver.poll_recv(context).map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }
}
