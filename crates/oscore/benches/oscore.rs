//! Protecting and unprotecting a request and its response, and a server's work for one request.
#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot go on stops where it is"
)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use coap::{Code, Message, MessageId, Token, Type, number};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use oscore::{
    Algorithm, Client, ClientOutput, Config, ContextState, Output, Secrets, SecurityContext, Server,
};

fn secrets(algorithm: Algorithm) -> (Secrets<'static>, Secrets<'static>) {
    let server = Secrets {
        algorithm,
        master_secret: b"sixteen byte key",
        master_salt: b"salt",
        id_context: None,
        sender_id: b"s",
        recipient_id: b"d",
    };
    let device = Secrets {
        sender_id: b"d",
        recipient_id: b"s",
        ..server
    };
    (device, server)
}

/// A registration update of a device, with 64 bytes of payload.
fn request(id: u16) -> Message {
    let mut request = Message::new(Type::Confirmable, Code::POST, MessageId(id));
    request.token = Token::new(&u64::from(id).to_be_bytes()).unwrap();
    request.options.push(number::URI_PATH, b"rd");
    request.options.push(number::URI_PATH, b"0123456789abcdef");
    request.payload = vec![0x5A; 64];
    request
}

fn messages(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("message");
    group.throughput(Throughput::Elements(1));
    let (device, server) = secrets(Algorithm::AesCcm16_64_128);
    group.bench_function("protect request", |bencher| {
        let mut device = SecurityContext::derive(&device).unwrap();
        let request = request(1);
        bencher.iter(|| {
            // The numbers of a generation last for about a minute of this.
            if device.remaining_sequence_numbers() == 0 {
                device = SecurityContext::derive(&secrets(Algorithm::default()).0).unwrap();
            }
            device.protect_request(&request).unwrap()
        });
    });
    group.bench_function("unprotect request", |bencher| {
        let (device, server) = (&device, &server);
        bencher.iter_custom(|iterations| {
            let mut spent = Duration::ZERO;
            let mut left = iterations;
            while left > 0 {
                let batch = left.min(10_000);
                left -= batch;
                let mut device = SecurityContext::derive(device).unwrap();
                let mut server = SecurityContext::derive(server).unwrap();
                let request = request(1);
                let outer: Vec<_> = (0..batch)
                    .map(|_| device.protect_request(&request).unwrap().0)
                    .collect();
                let start = Instant::now();
                for outer in &outer {
                    server.unprotect_request(outer).unwrap();
                }
                spent += start.elapsed();
            }
            spent
        });
    });
    group.finish();
}

/// From datagram to datagram, with the layer's tables; the device's share is not measured.
fn layer(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("server");
    group.throughput(Throughput::Elements(1));
    let address: SocketAddr = "192.0.2.1:5683".parse().unwrap();
    for (name, algorithm) in [
        ("ccm", Algorithm::AesCcm16_64_128),
        ("gcm", Algorithm::A128Gcm),
    ] {
        group.bench_function(format!("request and response, {name}"), |bencher| {
            bencher.iter_custom(|iterations| {
                let now = Instant::now();
                let (device, server) = secrets(algorithm);
                let mut spent = Duration::ZERO;
                let mut left = iterations;
                while left > 0 {
                    let batch = left.min(10_000);
                    left -= batch;
                    let state = ContextState::never_used(&device).unwrap();
                    let mut client = Client::new(Config::default(), state, 1, [1; 32]).unwrap();
                    let mut layer = Server::new(Config::default(), [2; 32]);
                    let state = ContextState::never_used(&server).unwrap();
                    layer.import(state, 1).unwrap();
                    for id in 0..batch as u16 {
                        client.send(now, &request(id).to_datagram()).unwrap();
                        let Some(ClientOutput::Transmit(request)) = client.poll_output() else {
                            panic!("a request was sent");
                        };
                        let start = Instant::now();
                        layer.handle(now, address, &request);
                        let Some(Output::Inner { context, message }) = layer.poll_output() else {
                            panic!("the request was accepted");
                        };
                        let mut response = message.decode().unwrap();
                        response.kind = Type::Acknowledgement;
                        response.code = Code::CHANGED_2_04;
                        response.options = coap::Options::default();
                        layer.send(now, context, &response.to_datagram()).unwrap();
                        let Some(Output::Transmit { message, .. }) = layer.poll_output() else {
                            panic!("a response was sent");
                        };
                        spent += start.elapsed();
                        client.handle(now, &message);
                        while client.poll_output().is_some() {}
                    }
                }
                spent
            });
        });
    }
    group.finish();
}

fn derivation(criterion: &mut Criterion) {
    let (_, server) = secrets(Algorithm::AesCcm16_64_128);
    criterion.bench_function("derive a context", |bencher| {
        bencher.iter(|| ContextState::provision(&server).unwrap());
    });
}

criterion_group!(benches, messages, layer, derivation);
criterion_main!(benches);
