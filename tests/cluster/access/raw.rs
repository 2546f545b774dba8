//! Calls of any method with any bytes.

use std::time::Duration;

use bytes::{Buf, BufMut};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Body {
    Empty,
    Garbage,
}

impl Body {
    fn bytes(self) -> Vec<u8> {
        match self {
            Self::Empty => Vec::new(),
            Self::Garbage => vec![0xff; 7],
        }
    }
}

/// How a call ends; a stream that has begun and says nothing is as good as `Ok`.
pub(super) async fn call(channel: &Channel, path: &str, token: Option<&str>, body: Body) -> Code {
    let mut grpc = Grpc::new(channel.clone());
    if let Err(error) = grpc.ready().await {
        return Status::from_error(error.into()).code();
    }
    let mut request = Request::new(body.bytes());
    request.set_timeout(Duration::from_secs(10));
    if let Some(token) = token {
        let token = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", token);
    }
    let path = path.parse().unwrap();
    // A call with one answer is, on the wire, a stream of one.
    let mut stream = match grpc.server_streaming(request, path, Bytes).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => return status.code(),
    };
    match tokio::time::timeout(Duration::from_millis(500), stream.message()).await {
        Ok(Err(status)) => status.code(),
        Ok(Ok(_)) | Err(_) => Code::Ok,
    }
}

/// Bytes as they are.
#[derive(Clone, Copy, Debug, Default)]
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining()).to_vec()))
    }
}
