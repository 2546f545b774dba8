//! `drover rest-shim` against a cluster: the requests of Zephyr's interoperability suite, as its `leshan.py` sends them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::{Drover, Options, Program, until_some};

/// Longer than anything takes that is waited for.
const LIMIT: Duration = Duration::from_secs(60);

/// One of the two HTTP servers.
struct Rest {
    address: String,
}

/// Status and body.
type Reply = (u16, String);

impl Rest {
    /// `url` as the shim prints it: `http://127.0.0.1:8080/api`.
    fn new(url: &Value) -> Self {
        let url = url.as_str().unwrap();
        let address = url.trim_start_matches("http://").trim_end_matches("/api");
        Self {
            address: address.to_owned(),
        }
    }

    fn send(&self, method: &str, path: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let head = format!(
            "{method} /api{path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body.as_bytes()).unwrap();
        stream
    }

    fn reply(&self, method: &str, path: &str, body: &str) -> Reply {
        let mut reply = String::new();
        let mut stream = self.send(method, path, body);
        stream.read_to_string(&mut reply).unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap();
        (status.parse().unwrap(), body.to_owned())
    }

    /// The JSON of a request that is answered 200.
    fn json(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        let (status, reply) = self.reply(method, path, &body);
        assert_eq!(status, 200, "{method} {path}: {reply}");
        serde_json::from_str(&reply).unwrap_or_else(|error| panic!("{path}: {error}: {reply}"))
    }

    fn get(&self, path: &str) -> Value {
        self.json("GET", path, &Value::Null)
    }

    /// Status of the device's answer to a request with a body.
    fn status(&self, method: &str, path: &str, body: &Value) -> String {
        let answer = self.json(method, path, body);
        answer["status"].as_str().unwrap().to_owned()
    }

    /// Events from now on.
    fn events(&self, query: &str) -> Events {
        let mut lines = BufReader::new(self.send("GET", &format!("/event?{query}"), "")).lines();
        let status = lines.next().unwrap().unwrap();
        assert_eq!(status, "HTTP/1.1 200 OK");
        // The head ends with an empty line; nothing is missed from then on.
        assert!(lines.any(|line| line.unwrap().is_empty()));
        Events { lines }
    }
}

struct Events {
    lines: std::io::Lines<BufReader<TcpStream>>,
}

impl Events {
    /// Data of the next event with a name.
    fn next(&mut self, name: &str) -> Value {
        // Signs of life keep the connection from running into its timeout.
        let deadline = Instant::now() + LIMIT;
        let mut is_named = false;
        for line in self.lines.by_ref().map(Result::unwrap) {
            assert!(Instant::now() < deadline, "no {name} within {LIMIT:?}");
            if let Some(event) = line.strip_prefix("event: ") {
                is_named = event == name;
            }
            if let Some(data) = line.strip_prefix("data: ").filter(|_| is_named) {
                return serde_json::from_str(data).unwrap();
            }
        }
        panic!("the stream ended without {name}");
    }
}

/// Starts the shim at free ports: management and bootstrap.
fn shim(drover: &Drover) -> (Program, Rest, Rest) {
    let arguments = [
        "rest-shim",
        "--listen",
        "127.0.0.1:0",
        "--bootstrap-listen",
        "127.0.0.1:0",
        "-o",
        "json",
    ];
    let log = drover.scratch().join("rest-shim");
    let program = Program::start(&mut drover.command(&arguments), &log).unwrap();
    let urls: Value = until_some("a ready shim", LIMIT, || {
        serde_json::from_str(&program.output()).map_err(|_| program.output())
    });
    let (management, bootstrap) = (
        Rest::new(&urls["management"]),
        Rest::new(&urls["bootstrap"]),
    );
    (program, management, bootstrap)
}

fn resource(id: u16, kind: &str, value: &Value) -> Value {
    json!({"id": id, "kind": "singleResource", "type": kind, "value": value})
}

#[test]
fn what_zephyrs_suite_asks_of_leshan_is_answered() {
    let drover = Drover::start(&Options {
        devices: 1,
        flags: vec!["--coap".to_owned()],
        ..Options::default()
    });
    let device = drover.devices()[0].clone();
    let (_shim, rest, bootstrap) = shim(&drover);

    registrations(&rest, &device);
    values(&rest, &device);
    operations(&rest, &device);
    composite(&rest, &device);
    {
        let (_simulator, device) = drover.full_device("full-");
        portfolio(&rest, &device);
    }
    notifications(&rest, &device);
    security(&rest, &bootstrap);
}

fn registrations(rest: &Rest, device: &str) {
    let clients = rest.get("/clients");
    assert_eq!(clients[0]["endpoint"], device, "{clients}");
    let client = rest.get(&format!("/clients/{device}?timeout=10&format=SENML_CBOR"));
    assert_eq!(client["registrationId"], clients[0]["registrationId"]);
    assert_eq!(client["secure"], true, "{client}");
    assert_eq!(client["availableInstances"]["3"], json!([0]), "{client}");
    let (status, text) = rest.reply("GET", "/clients/nobody/3/0/0", "");
    assert_eq!(status, 400, "{text}");
    assert!(text.contains("No registered client"), "{text}");
}

/// LightweightM2M-1.1-int-203, -221, -224 to -227 and -256.
fn values(rest: &Rest, device: &str) {
    let at = |path: &str| format!("/clients/{device}/{path}");
    let formats = ["TLV", "SENML_JSON", "SENML_CBOR"];
    let manufacturer = rest.get(&at("3/0/0"))["content"]["value"].clone();
    assert!(manufacturer.is_string(), "{manufacturer}");
    for format in formats {
        let read = rest.get(&at(&format!("3/0?timeout=10&format={format}")));
        assert_eq!(read["status"], "CONTENT(205)", "{read}");
        let resources = read["content"]["resources"].as_array().unwrap();
        let found = |id: u16| resources.iter().find(|one| one["id"] == id).unwrap();
        assert_eq!(found(0)["value"], manufacturer, "{read}");
        assert_eq!(found(11)["values"], json!({"0": "0"}), "{read}");
    }
    for (format, lifetime) in formats.into_iter().chain(["TEXT"]).zip(3600..) {
        let path = at(&format!("1/0/1?timeout=10&format={format}"));
        let written = rest.status("PUT", &path, &resource(1, "integer", &lifetime.into()));
        assert_eq!(written, "CHANGED(204)", "{format}");
        let read = rest.get(&path);
        assert_eq!(read["content"]["value"], lifetime.to_string(), "{read}");
    }
    // Without a format the cluster chooses one.
    let written = rest.status(
        "PUT",
        &at("3/0/14"),
        &resource(14, "string", &"+04:00".into()),
    );
    assert_eq!(written, "CHANGED(204)");
    let instance = json!({"kind": "instance", "id": 0, "resources": [
        resource(14, "string", &"+05:00".into()), resource(15, "string", &"UTC".into()),
    ]});
    for format in formats {
        let path = at(&format!("3/0?timeout=10&format={format}&replace=false"));
        assert_eq!(
            rest.status("PUT", &path, &instance),
            "CHANGED(204)",
            "{format}"
        );
    }
    assert_eq!(rest.get(&at("3/0/15"))["content"]["value"], "UTC");
    // The device is asked what the definitions forbid, and refuses it.
    let refused = rest.status("PUT", &at("3/0/0"), &resource(0, "string", &"x".into()));
    assert_eq!(refused, "METHOD_NOT_ALLOWED(405)");
    assert_eq!(rest.get(&at("0/0"))["status"], "UNAUTHORIZED(401)");
    assert_eq!(rest.get(&at("3/0/999"))["status"], "NOT_FOUND(404)");
    let (status, text) = rest.reply("GET", &at("3/0?format=YAML"), "");
    assert_eq!(status, 400, "{text}");
}

/// LightweightM2M-1.1-int-104 and -260.
fn operations(rest: &Rest, device: &str) {
    let at = |path: &str| format!("/clients/{device}/{path}");
    assert_eq!(
        rest.status("POST", &at("1/0/8"), &Value::Null),
        "CHANGED(204)"
    );
    for attributes in [
        "3/attributes?pmin=1",
        "3/0/7/attributes?gt=6",
        "3/0/7/attributes?gt",
    ] {
        let written = rest.status("PUT", &at(attributes), &Value::Null);
        assert_eq!(written, "CHANGED(204)", "{attributes}");
    }
    let discovered = rest.get(&at("3/0/discover"));
    let links = discovered["objectLinks"].as_array().unwrap();
    let link = |url: &str| links.iter().find(|link| link["url"] == url).unwrap();
    assert_eq!(link("/3/0/7")["attributes"]["dim"], "2", "{discovered}");
    assert_eq!(link("/3/0/4")["attributes"], json!({}), "{discovered}");
}

/// LightweightM2M-1.1-int-1630 and -1635.
fn portfolio(rest: &Rest, device: &str) {
    let at = |path: &str| format!("/clients/{device}/{path}");
    let instance = json!({"kind": "instance", "id": 7, "resources": [
        {"id": 0, "kind": "multiResource", "type": "string", "values": {"0": "Boiler"}},
    ]});
    let create = at("16?timeout=10&format=SENML_CBOR");
    assert_eq!(rest.status("POST", &create, &instance), "CREATED(201)");
    let read = rest.get(&at("16/7/0"));
    assert_eq!(read["content"]["values"]["0"], "Boiler", "{read}");
    assert_eq!(
        rest.status("DELETE", &at("16/7"), &Value::Null),
        "DELETED(202)"
    );
    assert_eq!(rest.get(&at("16/7"))["status"], "NOT_FOUND(404)");
}

/// LightweightM2M-1.1-int-229, -230 and -236.
fn composite(rest: &Rest, device: &str) {
    for format in ["SENML_JSON", "SENML_CBOR"] {
        let query = format!("pathformat={format}&nodeformat={format}&timeout=10");
        let at = |paths: &str| format!("/clients/{device}/composite?{query}&paths={paths}");
        let read = rest.get(&at(
            "%2F3%2C%2F1%2F0%2F1%2C%2F3%2F0%2F11%2F0%2C%2F3339%2F0%2F5522",
        ));
        assert_eq!(read["status"], "CONTENT(205)", "{read}");
        assert_eq!(read["content"]["/3"]["kind"], "obj", "{read}");
        assert_eq!(read["content"]["/1/0/1"]["kind"], "singleResource");
        assert_eq!(read["content"]["/3/0/11/0"]["kind"], "resourceInstance");
        assert_eq!(read["content"].get("/3339/0/5522"), None, "{read}");
        let changes = json!({
            "/1/0/1": resource(1, "integer", &7200.into()),
            "/3/0/14": resource(14, "string", &format.len().to_string().into()),
        });
        let path = format!("/clients/{device}/composite?{query}");
        assert_eq!(rest.status("PUT", &path, &changes), "CHANGED(204)");
        let read = rest.get(&at("/1/0/1,/3/0/14"));
        assert_eq!(read["content"]["/1/0/1"]["value"], "7200", "{read}");
        assert_eq!(
            read["content"]["/3/0/14"]["value"],
            format.len().to_string()
        );
    }
}

/// LightweightM2M-1.1-int-301 to -305.
fn notifications(rest: &Rest, device: &str) {
    let one = format!("/clients/{device}/3303/0/5700/observe");
    let composite = format!("/clients/{device}/composite/observe?paths=/3303/0/5700,/3/0/16");
    // The suite names the device without `ep`, which asks for the events of all.
    let mut events = rest.events(device);
    let mut own = rest.events(&format!("ep={device}"));
    let begun = rest.json("POST", &format!("{one}?timeout=10"), &Value::Null);
    assert_eq!(begun["content"]["type"], "FLOAT", "{begun}");
    let notified = events.next("NOTIFICATION");
    assert_eq!(notified["kind"], "single", "{notified}");
    assert_eq!(
        (&notified["ep"], &notified["res"]),
        (&device.into(), &"/3303/0/5700".into())
    );
    assert!(notified["val"]["value"].is_number(), "{notified}");

    let ended = rest.json("DELETE", &format!("{one}?active"), &Value::Null);
    assert_eq!(ended["status"], "CONTENT(205)", "{ended}");
    let (status, text) = rest.reply("DELETE", &format!("{one}?active"), "");
    assert_eq!(status, 404, "{text}");

    let begun = rest.json("POST", &composite, &Value::Null);
    assert_eq!(begun["content"]["/3/0/16"]["value"], "U", "{begun}");
    let notified = loop {
        let notified = events.next("NOTIFICATION");
        // One of the observation before may be on its way still.
        if notified["kind"] == "composite" {
            break notified;
        }
    };
    assert_eq!(
        notified["paths"],
        json!(["/3303/0/5700", "/3/0/16"]),
        "{notified}"
    );
    assert!(
        notified["val"]["/3303/0/5700"]["value"].is_number(),
        "{notified}"
    );
    assert_eq!(rest.reply("DELETE", &composite, ""), (200, String::new()));

    rest.status("POST", &format!("/clients/{device}/1/0/8"), &Value::Null);
    let updated = events.next("UPDATED");
    assert_eq!(updated["registration"]["endpoint"], device, "{updated}");
    assert_eq!(own.next("NOTIFICATION")["ep"], device);
    assert_eq!(own.next("UPDATED")["registration"]["endpoint"], device);
}

/// `create_bs_device`, `create_psk_device`, `delete_device` and `delete_bs_device` of the suite.
fn security(rest: &Rest, bootstrap: &Rest) {
    let device = |key: &str| json!({"endpoint": "client_0a", "tls": {"mode": "psk", "details": {"identity": "client_0a", "key": key}}});
    let key = "000102030405060708090a0b0c0d0e0f";
    let put = |rest: &Rest| rest.reply("PUT", "/security/clients/", &device(key).to_string());
    assert_eq!(put(bootstrap), (200, String::new()));
    let config = json!({
        "servers": {"0": {"binding": "U", "defaultMinPeriod": 1, "lifetime": 86400, "notifIfDisabled": false, "shortId": 1}},
        "security": {"1": {
            "bootstrapServer": false, "clientOldOffTime": 1, "publicKeyOrId": [97], "secretKey": [98],
            "securityMode": "PSK", "serverId": 1, "serverSmsNumber": "", "smsBindingKeyParam": [],
            "smsBindingKeySecret": [], "smsSecurityMode": "NO_SEC", "uri": "coaps://192.0.2.2:5684",
        }},
        "oscore": {}, "toDelete": ["/0", "/1"],
    });
    let answer = bootstrap.json("POST", "/bootstrap/client_0a", &config);
    assert!(
        answer["ignored"]
            .as_array()
            .unwrap()
            .contains(&"security.1.secretKey".into())
    );
    let known = bootstrap.get("/bootstrap");
    assert_eq!(
        known["client_0a"]["security"]["0"]["uri"], "coaps://192.0.2.2:5684",
        "{known}"
    );
    let mut refused = config.clone();
    refused["security"]["1"]["securityMode"] = "X509".into();
    let (status, why) = bootstrap.reply("POST", "/bootstrap/client_0a", &refused.to_string());
    assert_eq!(status, 400, "{why}");
    assert!(why.contains("securityMode X509"), "{why}");

    // The key for the bootstrap server stays; the management server gets one that the bootstrap makes.
    let (status, told) = put(rest);
    assert_eq!(status, 200, "{told}");
    assert!(told.contains("not stored"), "{told}");
    let listed = rest.get("/security/clients?timeout=10&format=SENML_CBOR");
    let shown = json!({"endpoint": "client_0a", "tls": {"mode": "psk", "details": {"identity": "client_0a"}}});
    assert!(listed.as_array().unwrap().contains(&shown), "{listed}");

    let gone = |rest: &Rest, path: &str| rest.reply("DELETE", path, "");
    assert_eq!(
        gone(rest, "/security/clients/client_0a"),
        (200, String::new())
    );
    // Both of Leshan's servers have a store, and the suite cleans up both.
    assert_eq!(gone(bootstrap, "/security/clients/client_0a").0, 200);
    assert_eq!(
        gone(bootstrap, "/bootstrap/client_0a"),
        (204, String::new())
    );
    assert_eq!(gone(bootstrap, "/bootstrap/client_0a").0, 404);
    assert_eq!(bootstrap.get("/bootstrap"), json!({}));
}
