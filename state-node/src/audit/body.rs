//! Finds the outcome of a call in its answer.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Frame, SizeHint};
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::Pending;

/// Records the outcome once it is known.
pub(super) fn follow(mut pending: Pending, answer: Response<Body>) -> Response<Body> {
    // An answer without a message has its outcome in the headers.
    if pending.see(answer.headers()) {
        return answer;
    }
    let (head, inner) = answer.into_parts();
    let body = Followed { inner, pending };
    Response::from_parts(head, Body::new(body))
}

struct Followed {
    inner: Body,
    pending: Pending,
}

impl Pending {
    /// Whether the outcome is there.
    fn see(&mut self, headers: &HeaderMap) -> bool {
        let Some(status) = Status::from_header_map(headers) else {
            return false;
        };
        let reason = status.get_details_error_info().map(|info| info.reason);
        self.end(status.code(), reason.as_deref());
        true
    }

    /// What is told of a change whose request said nothing. The first part of an answer is all of it: what is answered to a
    /// stream is a few names.
    fn see_answer(&mut self, answer: &Bytes) {
        if let Some(entry) = &mut self.entry
            && entry.says_nothing()
            && let Some(subject) = self.audit.0.subjects.told(entry.method(), answer)
        {
            entry.on(subject);
        }
    }
}

impl http_body::Body for Followed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.inner).poll_frame(cx);
        match &frame {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(trailers) = frame.trailers_ref() {
                    this.pending.see(trailers);
                } else if let Some(answer) = frame.data_ref() {
                    this.pending.see_answer(answer);
                }
            }
            Poll::Ready(Some(Err(error))) => this.pending.end(error.code(), None),
            Poll::Ready(None) => this.pending.end(Code::Unknown, None),
            Poll::Pending => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
