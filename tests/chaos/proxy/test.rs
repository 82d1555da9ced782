//! The proxy against a broker that answers every request with its own bytes.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use super::{
    Action, Api, Door, Moment, Often, Proxy, Rule,
    frame::{self, Head},
};
use crate::live::Outcome;

const END_TXN: i16 = 26;
const FETCH: i16 = 1;
/// No answer within it: there is none.
const SILENCE: Duration = Duration::from_millis(300);

/// Length, api key, version, correlation id, client id, and three bytes of a body.
fn request(api: i16, correlation: i32, client: &str) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(api.to_be_bytes());
    body.extend(7_i16.to_be_bytes());
    body.extend(correlation.to_be_bytes());
    body.extend(i16::try_from(client.len()).unwrap_or(0).to_be_bytes());
    body.extend(client.as_bytes());
    body.extend([1, 2, 3]);
    framed(&body)
}

fn answer(correlation: i32) -> Vec<u8> {
    framed(&correlation.to_be_bytes())
}

fn framed(body: &[u8]) -> Vec<u8> {
    let mut frame = i32::try_from(body.len()).unwrap_or(0).to_be_bytes().to_vec();
    frame.extend(body);
    frame
}

/// Answers with the correlation id; tells of every request it has handled.
struct Broker {
    address: SocketAddr,
    handled: mpsc::Receiver<Head>,
}

impl Broker {
    fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let (tell, handled) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let tell = tell.clone();
                thread::spawn(move || serve(&stream, &tell));
            }
        });
        Ok(Self { address, handled })
    }

    fn handled(&self) -> Option<Api> {
        self.handled.recv_timeout(SILENCE).ok().map(|head| head.api)
    }
}

fn serve(stream: &TcpStream, tell: &mpsc::Sender<Head>) -> io::Result<()> {
    let (mut from, mut to) = (stream, stream);
    let mut bytes = Vec::new();
    while frame::read(&mut from, &mut bytes)? {
        let head = Head::of_request(&bytes)?;
        to.write_all(&answer(head.correlation))?;
        let _ = tell.send(head);
    }
    Ok(())
}

struct Client(TcpStream);

#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Answer(i32),
    Nothing,
    Closed,
}

impl Client {
    fn connect(proxy: &Proxy) -> io::Result<Self> {
        let stream = TcpStream::connect(proxy.addresses())?;
        stream.set_read_timeout(Some(SILENCE))?;
        Ok(Self(stream))
    }

    fn ask(&mut self, api: i16, correlation: i32) -> io::Result<()> {
        self.0.write_all(&request(api, correlation, "p0"))
    }

    fn hear(&mut self) -> Heard {
        let mut bytes = [0; 8];
        match self.0.read(&mut bytes) {
            Ok(8) => Heard::Answer(i32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]])),
            Ok(_) => Heard::Closed,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Heard::Closed,
            Err(_) => Heard::Nothing,
        }
    }

    fn call(&mut self, api: i16, correlation: i32) -> io::Result<Heard> {
        self.ask(api, correlation)?;
        Ok(self.hear())
    }
}

fn start() -> io::Result<(Broker, Proxy)> {
    let broker = Broker::start()?;
    let proxy = Door::open()?.lead_to(broker.address, 1)?;
    Ok((broker, proxy))
}

#[test]
fn frames_pass_whole_and_are_counted() -> Outcome {
    let (broker, proxy) = start()?;
    let mut client = Client::connect(&proxy)?;
    // A request in two pieces, and two in one.
    let bytes = request(END_TXN, 1, "p0");
    let (head, tail) = bytes.split_at(5);
    client.0.write_all(head)?;
    client.0.write_all(tail)?;
    assert_eq!(client.hear(), Heard::Answer(1));
    client.0.write_all(&[request(FETCH, 2, "p0"), request(FETCH, 3, "p1")].concat())?;
    assert_eq!(client.hear(), Heard::Answer(2));
    assert_eq!(client.hear(), Heard::Answer(3));
    assert_eq!(broker.handled(), Some(Api::EndTxn));
    let counts = [("p0", Api::EndTxn, 1), ("p0", Api::Fetch, 1), ("p1", Api::Fetch, 1)];
    for (name, api, count) in counts {
        assert_eq!(proxy.seen(name, api), count, "{name} {api:?}");
    }
    assert_eq!(proxy.seen("p1", Api::EndTxn), 0);
    Ok(())
}

#[test]
fn a_cut_before_hides_the_request_and_a_cut_after_hides_the_answer() -> Outcome {
    for (moment, handled) in [(Moment::Before, None), (Moment::After, Some(Api::EndTxn))] {
        let (broker, proxy) = start()?;
        let laid = proxy.lay(Rule::new(&[Api::EndTxn], moment, Action::Cut));
        let mut client = Client::connect(&proxy)?;
        assert_eq!(client.call(FETCH, 1)?, Heard::Answer(1), "not concerned");
        assert_eq!(broker.handled(), Some(Api::Fetch));
        assert_eq!(client.call(END_TXN, 2)?, Heard::Closed);
        assert_eq!(broker.handled(), handled);
        assert_eq!(laid.fired(), 1);
    }
    Ok(())
}

#[test]
fn a_black_hole_swallows_both_ways_and_says_nothing() -> Outcome {
    for (moment, handled) in [(Moment::Before, None), (Moment::After, Some(Api::EndTxn))] {
        let (broker, proxy) = start()?;
        let rule = Rule::new(&[Api::EndTxn], moment, Action::BlackHole);
        let laid = proxy.lay(rule.often(Often::Nth(1)));
        let mut client = Client::connect(&proxy)?;
        assert_eq!(client.call(END_TXN, 1)?, Heard::Nothing);
        assert_eq!(broker.handled(), handled);
        assert_eq!(client.call(FETCH, 2)?, Heard::Nothing, "the connection is dead");
        assert_eq!(broker.handled(), None);
        let mut other = Client::connect(&proxy)?;
        assert_eq!(other.call(END_TXN, 3)?, Heard::Answer(3), "another one lives");
        laid.lift();
        assert_eq!(client.hear(), Heard::Closed, "the network has forgotten it");
        assert_eq!(laid.fired(), 1);
    }
    Ok(())
}

#[test]
fn a_delay_holds_what_is_behind_it_and_ends_when_lifted() -> Outcome {
    for moment in [Moment::Before, Moment::After] {
        let (_broker, proxy) = start()?;
        let by = 2 * SILENCE;
        let laid = proxy.lay(Rule::new(&[Api::EndTxn], moment, Action::Delay(by)));
        let mut client = Client::connect(&proxy)?;
        let begun = Instant::now();
        client.ask(END_TXN, 1)?;
        client.ask(FETCH, 2)?;
        assert_eq!(client.hear(), Heard::Nothing);
        while client.hear() == Heard::Nothing {}
        assert!(begun.elapsed() >= by);
        assert_eq!(client.hear(), Heard::Answer(2));
        let long = Rule::new(&[Api::Fetch], moment, Action::Delay(Duration::from_secs(60)));
        let long = proxy.lay(long);
        client.ask(FETCH, 3)?;
        assert_eq!(client.hear(), Heard::Nothing);
        long.lift();
        assert_eq!(client.hear(), Heard::Answer(3));
        assert_eq!((laid.fired(), long.fired()), (1, 1));
    }
    Ok(())
}

#[test]
fn rules_fire_as_often_as_they_say() -> Outcome {
    let (_broker, proxy) = start()?;
    let quick = Action::Delay(Duration::ZERO);
    let rule = |often| Rule::new(&[Api::EndTxn], Moment::Before, quick).often(often);
    let mut client = Client::connect(&proxy)?;
    for (often, most, least_fired, most_fired) in [
        (Often::Every(3), u64::MAX, 20, 20),
        (Often::Every(1), 5, 5, 5),
        (Often::Nth(7), 3, 1, 1),
        (Often::Nth(61), u64::MAX, 0, 0),
        (Often::Chance(0.3), u64::MAX, 8, 30),
        (Often::Chance(1.0), u64::MAX, 60, 60),
    ] {
        let laid = proxy.lay(rule(often).at_most(most));
        for correlation in 0..60 {
            assert_eq!(client.call(END_TXN, correlation)?, Heard::Answer(correlation));
        }
        proxy.lift_all();
        let fired = laid.fired();
        assert!((least_fired..=most_fired).contains(&fired), "{often:?}: {fired}");
    }
    Ok(())
}

/// Two requests are under way when the answer to the first is cut off.
#[test]
fn a_fault_that_went_down_with_its_connection_is_made_up_for() -> Outcome {
    let (_broker, proxy) = start()?;
    let laid = proxy.lay(Rule::new(&[Api::EndTxn], Moment::After, Action::Cut).at_most(2));
    let mut client = Client::connect(&proxy)?;
    client.0.write_all(&[request(END_TXN, 1, "p0"), request(END_TXN, 2, "p0")].concat())?;
    assert_eq!(client.hear(), Heard::Closed);
    let deadline = Instant::now() + Duration::from_secs(10);
    while laid.fired() < 2 {
        // It may come before the dead connection has given its fault back, and is answered then.
        let heard = Client::connect(&proxy)?.call(END_TXN, 3)?;
        assert!(matches!(heard, Heard::Closed | Heard::Answer(3)), "{heard:?}");
        assert!(Instant::now() < deadline, "the fault is not made up for");
    }
    assert_eq!(Client::connect(&proxy)?.call(END_TXN, 4)?, Heard::Answer(4));
    Ok(())
}

#[test]
fn a_rule_may_be_about_one_client() -> Outcome {
    let (_broker, proxy) = start()?;
    let laid = proxy.lay(Rule::new(&[], Moment::Before, Action::Cut).of_client("p1"));
    let mut client = Client::connect(&proxy)?;
    assert_eq!(client.call(END_TXN, 1)?, Heard::Answer(1));
    client.0.write_all(&request(FETCH, 2, "p1"))?;
    assert_eq!(client.hear(), Heard::Closed);
    assert_eq!(laid.fired(), 1);
    Ok(())
}
