//! How fast a connection sends, chosen by what it runs over.
//!
//! CUBIC takes every lost packet for a queue that overflowed. On the lines that people have at home, where packets get
//! lost for other reasons, it keeps a small part of the line busy: over 100 Mbit/s with 40 ms and 1 % loss it moved
//! 3.5 Mbit/s where BBR, which measures what arrives, moved 84. Within a machine or a switch nothing is lost but by
//! queues, and CUBIC costs less there. So a connection begins with BBR and changes for CUBIC, once and for good, when
//! it has seen a round trip that only a near peer can have. Over a far line [`Ceiling`] bounds what BBR believes.

mod ceiling;

use std::{
    any::Any,
    sync::Arc,
    time::{Duration, Instant},
};

use quinn::congestion::{BbrConfig, Controller, ControllerFactory, ControllerMetrics, CubicConfig};
use quinn_proto::RttEstimator;

use self::ceiling::{Ceiling, Seen};

/// Whoever once answered so soon is in the same machine or at the same switch.
const NEAR: Duration = Duration::from_millis(1);

/// Makes a controller for each connection.
#[derive(Debug, Default)]
pub(super) struct ByDistance;

struct Distance {
    inner: Box<dyn Controller>,
    near: bool,
    ceiling: Ceiling,
    datagram_bytes: u16,
}

impl ControllerFactory for ByDistance {
    fn build(self: Arc<Self>, now: Instant, datagram_bytes: u16) -> Box<dyn Controller> {
        let far: Arc<BbrConfig> = Arc::default();
        Box::new(Distance {
            inner: far.build(now, datagram_bytes),
            near: false,
            ceiling: Ceiling::default(),
            datagram_bytes,
        })
    }
}

impl Distance {
    fn is_near(&mut self, now: Instant) {
        let near: Arc<CubicConfig> = Arc::default();
        self.inner = near.build(now, self.datagram_bytes);
        self.near = true;
        self.ceiling = Ceiling::default();
    }

    /// Returns what is told of packets where they bound what is in flight: CUBIC heeds losses itself.
    fn ceiling(&mut self) -> Option<&mut Ceiling> {
        (!self.near).then_some(&mut self.ceiling)
    }
}

impl Controller for Distance {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        if let Some(ceiling) = self.ceiling() {
            ceiling.on_sent(last_packet_number);
        }
        self.inner.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        if !self.near && rtt.min() < NEAR {
            self.is_near(now);
        }
        if let Some(ceiling) = self.ceiling() {
            ceiling.on_arrived(bytes, rtt.min());
        }
        self.inner.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest_packet_num_acked: Option<u64>,
    ) {
        self.inner
            .on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
        let seen = Seen {
            now,
            latest: largest_packet_num_acked,
            in_flight_bytes: in_flight,
            wanted_bytes: self.inner.window(),
            datagram_bytes: self.datagram_bytes,
        };
        if let Some(ceiling) = self.ceiling() {
            ceiling.on_seen(seen);
        }
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        self.inner
            .on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
        if let Some(ceiling) = self.ceiling() {
            ceiling.on_lost(lost_bytes);
        }
    }

    fn on_mtu_update(&mut self, datagram_bytes: u16) {
        self.datagram_bytes = datagram_bytes;
        self.inner.on_mtu_update(datagram_bytes);
    }

    fn window(&self) -> u64 {
        self.ceiling.bound(self.inner.window())
    }

    fn metrics(&self) -> ControllerMetrics {
        let mut metrics = self.inner.metrics();
        metrics.congestion_window = self.window();
        metrics
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self {
            inner: self.inner.clone_box(),
            near: self.near,
            ceiling: self.ceiling.clone(),
            datagram_bytes: self.datagram_bytes,
        })
    }

    fn initial_window(&self) -> u64 {
        self.inner.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        endpoint::{Dialer, tests},
        test_org::{Org, now},
    };

    const DATAGRAM: u16 = 1200;

    #[test]
    fn nobody_is_near_until_a_round_trip_says_so() {
        let at = Instant::now();
        let far: Arc<BbrConfig> = Arc::default();
        let begun = Arc::new(ByDistance).build(at, DATAGRAM);
        assert_eq!(begun.window(), far.build(at, DATAGRAM).window());
        let begun = begun.into_any().downcast::<Distance>().unwrap();
        assert!(!begun.near);
    }

    #[tokio::test]
    async fn within_a_machine_it_changes_and_stays() {
        let org = Org::new();
        let (endpoint, address) = org.listen(now());
        tests::serve(&endpoint);
        let dialer = Dialer::new().unwrap();
        let connection = dialer.dial(&address, org.machine(now())).await.unwrap();
        // However busy the machine is, one of the answers is soon.
        loop {
            tests::greet(&connection).await.unwrap();
            let state = connection.congestion_state().into_any();
            if state.downcast::<Distance>().unwrap().near {
                break;
            }
        }
    }
}
