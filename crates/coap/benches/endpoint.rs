//! Round trips of a small request at a server: datagram in, event, answer, datagram out.
#![expect(
    clippy::disallowed_methods,
    reason = "virtual time has to start somewhere"
)]
#![expect(missing_docs, reason = "criterion generates the entry point")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use coap::{
    Code, Config, Endpoint, Event, Message, MessageId, Output, Request, Response, Token, Type,
    number,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const PEERS: u32 = 10_000;

/// A registration update as devices send it.
fn update(id: u16) -> Vec<u8> {
    let mut message = Message::new(Type::Confirmable, Code::POST, MessageId(id));
    message.token = Token::new(&[1, 2, 3, 4]).unwrap_or_default();
    message.options.push(number::URI_PATH, b"rd");
    message.options.push(number::URI_PATH, b"0123456789");
    message.options.push(number::URI_QUERY, b"lt=300");
    message.to_datagram()
}

fn serve(endpoint: &mut Endpoint<u32>, now: Instant) {
    while let Some(output) = endpoint.poll_output() {
        match output {
            Output::Event(Event::Request { exchange, .. }) => {
                endpoint.respond(now, exchange, Response::new(Code::CHANGED_2_04));
            }
            other => {
                black_box(other);
            }
        }
    }
}

fn server(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("server");
    group.throughput(Throughput::Elements(1));
    let datagrams: Vec<_> = (0..=u16::MAX).map(update).collect();
    group.bench_function("request_and_piggybacked_answer", |bencher| {
        let mut endpoint = Endpoint::new(Config::default(), 1);
        let mut now = Instant::now();
        let mut count = 0_u32;
        bencher.iter(|| {
            count = count.wrapping_add(1);
            // 40,000 requests a second: deduplication soon holds as many ids as it may.
            now += Duration::from_micros(25);
            let id = (count / PEERS) as u16;
            endpoint.handle_datagram(now, count % PEERS, &datagrams[usize::from(id)]);
            serve(&mut endpoint, now);
            if count.is_multiple_of(64) {
                endpoint.handle_timeout(now);
            }
        });
        assert_eq!(endpoint.counters().overloaded, 0);
    });
    group.finish();
}

fn client(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("client");
    group.throughput(Throughput::Elements(1));
    group.bench_function("request_and_piggybacked_response", |bencher| {
        let mut endpoint = Endpoint::new(Config::default(), 1);
        let mut now = Instant::now();
        let mut count = 0_u32;
        let request = Request::new(Code::GET, ["3", "0", "9"]);
        bencher.iter(|| {
            count = count.wrapping_add(1);
            now += Duration::from_micros(25);
            let peer = count % PEERS;
            endpoint.send_request(now, peer, request.clone()).ok();
            while let Some(output) = endpoint.poll_output() {
                if let Output::Transmit { mut datagram, .. } = output {
                    // The same header with ACK 2.05 is the answer; options are elective there
                    // or left out, so cut after the token.
                    datagram.truncate(12);
                    if let [first, code, ..] = &mut datagram[..] {
                        *first = 0b0110_1000;
                        *code = Code::CONTENT_2_05.as_byte();
                    }
                    endpoint.handle_datagram(now, peer, &datagram);
                }
            }
            if count.is_multiple_of(64) {
                endpoint.handle_timeout(now);
            }
        });
        assert_eq!(
            (endpoint.counters().unmatched, endpoint.exchange_count()),
            (0, 0)
        );
    });
    group.finish();
}

criterion_group!(benches, server, client);
criterion_main!(benches);
