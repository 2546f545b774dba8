use std::time::{Duration, Instant};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use device_state::*;
use lwm2m::*;
use state_client::{Client, Config};
#[tokio::main]
async fn main() {
    let seeds: Vec<String> = std::env::args().nth(1).unwrap().split(',').map(str::to_owned).collect();
    let workers: u64 = std::env::args().nth(2).unwrap().parse().unwrap();
    let kind = std::env::args().nth(3).unwrap_or("reg".into());
    let client = Client::connect(Config::new(seeds)).unwrap();
    let topology = client.ready().await;
    let count = Arc::new(AtomicU64::new(0)); let errors = Arc::new(AtomicU64::new(0)); let lat = Arc::new(AtomicU64::new(0));
    let next = Arc::new(AtomicU64::new(0));
    for _ in 0..workers {
        let (client, topology, count, errors, lat, next, kind) = (client.clone(), topology.clone(), count.clone(), errors.clone(), lat.clone(), next.clone(), kind.clone());
        tokio::spawn(async move { loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            let endpoint = EndpointName::new(&format!("urn:dev:{n:08}")).unwrap();
            let shard = topology.shard_of(&endpoint);
            let started = Instant::now();
            let command = if kind == "reg" { Command::Register { registration: Box::new(Registration {
                endpoint: endpoint.clone(), id: RegistrationId::new(&format!("{:04x}{n:012x}", shard.0)).unwrap(), identity: SecurityIdentity::PskIdentity(endpoint.as_str().into()),
                owner: NodeId(1), peer: "127.0.0.1:5683".parse().unwrap(), transport: Transport::Dtls, session: None, lifetime: Lifetime::from_secs(86400), version: LwM2mVersion::V1_1,
                binding: "U".parse().unwrap(), links: "</>;rt=\"oma.lwm2m\";ct=\"60 110 112 11542 11543\",</1/0>;ver=1.1,</3/0>;ver=1.1,</4/0>,</5/0>,</6/0>,</3303/0>;ver=1.1".into(), registered_at: Timestamp(0), updated_at: Timestamp(0), expires_at: Timestamp(0) }) } }
              else { Command::PutCredential { credential: Credential { identity: endpoint.as_str().into(), endpoint: endpoint.clone(), sealed_key: vec![7; 200], created_at: Timestamp(0) } } };
            match client.propose(shard, command, Duration::from_secs(10)).await { Ok(_) => { count.fetch_add(1, Ordering::Relaxed); }, Err(e) => { if errors.fetch_add(1, Ordering::Relaxed) < 5 { eprintln!("{e}"); } } }
            lat.fetch_add(started.elapsed().as_micros() as u64, Ordering::Relaxed);
        }});
    }
    for _ in 0..8 { let (a, l) = (count.swap(0, Ordering::Relaxed), lat.swap(0, Ordering::Relaxed)); let _ = (a, l); tokio::time::sleep(Duration::from_secs(1)).await;
        println!("{}/s mean {} us errors {}", count.load(Ordering::Relaxed), lat.load(Ordering::Relaxed) / count.load(Ordering::Relaxed).max(1), errors.load(Ordering::Relaxed)); }
}
