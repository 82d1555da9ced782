//! Calls that may never return, on a thread that is left behind where one does not.
//!
//! `rd_kafka_send_offsets_to_transaction` is such a call. It waits without a limit for a request to
//! the group's coordinator, and that request looks at no clock either: it goes on at the next
//! change of a broker's state. If a broker goes and comes at the wrong moment there is no next
//! change, and the worker would wait for ever.
//! (<https://github.com/confluentinc/librdkafka/issues/5456>, `issues/5511` there.)

use std::{
    io,
    sync::mpsc::{Receiver, Sender, channel},
    thread::{Builder, JoinHandle},
    time::Duration,
};

/// One call at a time, on a thread of its own.
pub struct Aside<C, A> {
    calls: Option<Sender<C>>,
    answers: Receiver<A>,
    thread: Option<JoinHandle<()>>,
}

impl<C: Send + 'static, A: Send + 'static> Aside<C, A> {
    pub fn start(name: &str, mut call: impl FnMut(C) -> A + Send + 'static) -> io::Result<Self> {
        let (calls, asked) = channel::<C>();
        let (answer, answers) = channel();
        let thread = Builder::new().name(name.to_owned()).spawn(move || {
            for one in asked {
                // Nobody listens any more after a call that took too long.
                if answer.send(call(one)).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self { calls: Some(calls), answers, thread: Some(thread) })
    }

    /// `None`: the call did not return in time. Its thread is left behind with all that it holds,
    /// until the call does return, and no other call is made.
    pub fn ask(&mut self, call: C, wait: Duration) -> Option<A> {
        self.calls.as_ref()?.send(call).ok()?;
        let answer = self.answers.recv_timeout(wait).ok();
        if answer.is_none() {
            self.calls = None;
            self.thread = None;
        }
        answer
    }
}

impl<C, A> Drop for Aside<C, A> {
    fn drop(&mut self) {
        self.calls = None;
        if let Some(thread) = self.thread.take() {
            // It waits for a call, or for nothing: what it holds is gone when this returns.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn answers_come_back_and_nothing_is_left() {
        let held = Arc::new(());
        let inside = Arc::clone(&held);
        let mut aside = Aside::start("aside", move |number: u32| {
            let _inside = &inside;
            number + 1
        })
        .expect("a thread");
        assert_eq!(aside.ask(1, LONG), Some(2));
        assert_eq!(aside.ask(2, LONG), Some(3));
        drop(aside);
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[test]
    fn a_call_that_does_not_return_is_left_behind() {
        let (go_on, gate) = channel::<()>();
        let (tell, told) = channel();
        let mut aside = Aside::start("aside", move |number: u32| {
            let _ = gate.recv();
            let _ = tell.send(number);
            number
        })
        .expect("a thread");
        assert_eq!(aside.ask(1, Duration::from_millis(20)), None);
        assert_eq!(aside.ask(2, LONG), None, "it is never called again");
        // Does not wait for the thread, which still waits itself.
        drop(aside);
        go_on.send(()).expect("it still waits");
        assert_eq!(told.recv_timeout(LONG), Ok(1));
        assert!(told.recv_timeout(LONG).is_err(), "the thread has ended");
    }
}
