// SPDX-License-Identifier: GPL-2.0-or-later

//! The plugin's liveness check of one gateway: when its traffic is looked at, when it is asked for a sign of life,
//! asked again, and dead.

use std::time::Duration;

use crate::domain::policy::LivenessTimes;
use crate::failover::action::{Probed, Question};
use crate::failover::traffic::{Packets, Sample};

/// Within how many parts of the timeout a gateway is asked at most.
const MOST_QUESTIONS: u32 = 10;

/// Within how many parts of the timeout a gateway is asked whose round trips are not known.
const FEWEST_QUESTIONS: u32 = 3;

/// In how many parts of the time for an answer traffic is looked at, while there is some and while there is none.
const BUSY_LOOKS: u32 = 10;
const IDLE_LOOKS: u32 = 2;

/// How many packets have to go out before their lack of an answer tells of a gateway that carries nothing.
const PACKETS_TO_ANSWER: u64 = 3;

/// The liveness of a gateway whose IKE_SA is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::failover) struct Liveness {
    /// Since when the gateway may have given no sign of life (monotonic).
    heard: Duration,
    asking: Asking,
    /// What its answers took, smoothed; None before the first one.
    round_trip: Option<Duration>,
    /// When the traffic was last looked at (monotonic).
    looked: Duration,
    look: Look,
    /// The inbound SAs, as they were when packets last came in.
    inbound: Packets,
    /// What went out since the gateway last gave a sign of life.
    unanswered: Option<Outgoing>,
    /// What went out since packets last came in.
    one_way: Option<Outgoing>,
    /// How many answers there were since to questions that what went out led to.
    answers: u32,
}

/// How far the question for a sign of life is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asking {
    Not,
    /// It is about to be asked.
    Soon,
    /// It was asked first at that time (monotonic), and so many times again.
    Since {
        first: Duration,
        again: u32,
    },
}

/// How far looking at the traffic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// The counters are about to be read.
    UnderWay,
    /// The last look found traffic, or there was none to compare it with.
    Busy,
    /// The last look found none.
    Idle,
}

/// What goes out through the CHILD_SAs while none comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Outgoing {
    /// The outbound SAs at the first look.
    start: Packets,
    /// When nothing had gone out yet (monotonic).
    since: Duration,
    /// The most packets that one CHILD_SA has sent since.
    most: u64,
}

/// How often the counters of all IKE_SAs may be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::failover) struct Pace {
    /// The time between two looks at the same IKE_SA, at least.
    between: Duration,
}

/// What a look leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::failover) enum Finding {
    Nothing,
    /// The gateway is to be asked for a sign of life.
    Ask(Question),
    /// It did not give one in time.
    Silent,
    /// It gives some, but sends no ESP.
    NoData,
}

impl Pace {
    /// Among so many IKE_SAs (docs/timing.md has the formula).
    pub fn of(ike_sas: usize) -> Self {
        /// So many of them are looked at as often as their times ask for.
        const UNLIMITED: usize = 100;
        /// All others together add no more than so many looks a second.
        const LOOKS_PER_SECOND: u32 = 225;

        let others = ike_sas.saturating_sub(UNLIMITED);
        let others = u32::try_from(others).unwrap_or(u32::MAX);
        Self {
            between: Duration::from_secs(others.into()) / LOOKS_PER_SECOND,
        }
    }
}

impl Outgoing {
    fn begin(start: Packets, now: Duration) -> Self {
        Self {
            start,
            since: now,
            most: 0,
        }
    }

    /// The outbound SAs are these at another look.
    fn looked(&mut self, outbound: &Packets, now: Duration, accuracy: Duration) {
        let before = self.most;
        self.most = before.max(outbound.growth_since(&self.start));
        if self.most == 0 {
            self.since = now;
        } else if before == 0 {
            self.since = self.since.max(now.saturating_sub(accuracy));
        }
    }

    /// Since when packets have gone out, if some have.
    fn since(&self) -> Option<Duration> {
        (self.most > 0).then_some(self.since)
    }
}

impl Liveness {
    /// It came up just now.
    pub fn new(now: Duration) -> Self {
        Self {
            heard: now,
            asking: Asking::Not,
            round_trip: None,
            looked: now,
            look: Look::Busy,
            inbound: Packets::default(),
            unanswered: None,
            one_way: None,
            answers: 0,
        }
    }

    /// From now on it is watched, or watched again.
    pub fn restart(&mut self, now: Duration) {
        self.heard = now;
        self.asking = Asking::Not;
        self.looked = now;
        self.look = Look::Busy;
        self.unanswered = None;
    }

    /// There is a reason to ask it now; false if it is being asked already.
    pub fn doubt(&mut self) -> bool {
        let is_asked = self.asking != Asking::Not;
        if !is_asked {
            self.asking = Asking::Soon;
        }
        !is_asked
    }

    /// An authenticated message of the gateway came.
    pub fn heard(&mut self, now: Duration) {
        if let Asking::Since { first, again: 0 } = self.asking {
            // Of a request that was repeated it is not known which one was answered (Karn's algorithm).
            let sample = now.saturating_sub(first);
            self.round_trip = Some(match self.round_trip {
                Some(known) => (known * 3 + sample) / 4,
                None => sample,
            });
        }
        self.heard = now;
        self.asking = Asking::Not;
        let packets = self.unanswered.take();
        if packets.is_some_and(|packets| packets.most > 0) {
            self.answers = self.answers.saturating_add(1);
        }
    }

    /// Its traffic is about to be looked at: what came in up to the look before.
    pub fn look(&mut self) -> Packets {
        self.look = Look::UnderWay;
        self.inbound.clone()
    }

    /// What the look at that time (monotonic) found.
    pub fn looked(&mut self, sample: Sample, at: Duration, times: &LivenessTimes) -> Finding {
        match sample {
            Sample::Arrived { inbound } => {
                self.arrived(inbound, at);
                Finding::Nothing
            }
            Sample::Still { outbound } => {
                self.stood_still(outbound, at, times);
                self.judge(at, times)
            }
        }
    }

    /// Packets came in, which are a sign of life, and the answer to a question.
    fn arrived(&mut self, inbound: Packets, at: Duration) {
        // They may have come right after the look before.
        self.heard = self.heard.max(self.looked);
        self.looked = at;
        self.look = Look::Busy;
        self.asking = Asking::Not;
        self.inbound = inbound;
        self.unanswered = None;
        self.one_way = None;
        self.answers = 0;
    }

    /// No packets came in; those that went out may be waiting for an answer.
    fn stood_still(&mut self, outbound: Packets, at: Duration, times: &LivenessTimes) {
        let accuracy = basis(times) / BUSY_LOOKS;
        let is_compared = self.unanswered.is_some();
        for outgoing in [&mut self.unanswered, &mut self.one_way] {
            match outgoing {
                Some(outgoing) => outgoing.looked(&outbound, at, accuracy),
                None => *outgoing = Some(Outgoing::begin(outbound.clone(), at)),
            }
        }
        self.looked = at;
        self.look = match &self.unanswered {
            Some(outgoing) if is_compared && outgoing.most == 0 => Look::Idle,
            _ => Look::Busy,
        };
    }

    /// What follows as no packets came in.
    fn judge(&mut self, at: Duration, times: &LivenessTimes) -> Finding {
        match self.asking {
            Asking::Not if self.carries_nothing(times) => Finding::NoData,
            Asking::Not if self.ask_at(times) <= at => {
                self.asking = Asking::Soon;
                Finding::Ask(Question::First)
            }
            Asking::Not | Asking::Soon => Finding::Nothing,
            Asking::Since { first, again } => {
                if first.saturating_add(times.timeout) <= at {
                    return Finding::Silent;
                }
                let next = self.ask_again_at(first, again, times);
                if next.is_none_or(|next| at < next) {
                    return Finding::Nothing;
                }
                let again = again + 1;
                self.asking = Asking::Since { first, again };
                Finding::Ask(Question::Again)
            }
        }
    }

    /// What came of a question.
    pub fn probed(&mut self, probed: Probed, now: Duration) {
        match (probed, self.asking) {
            // The answer was there before this report.
            (Probed::Asked(at), _) if self.heard >= at => self.asking = Asking::Not,
            (Probed::Asked(first), Asking::Soon) => self.asking = Asking::Since { first, again: 0 },
            (Probed::Asked(_), _) => {}
            (Probed::Impossible, _) => self.restart(now),
        }
    }

    /// When its traffic is to be looked at (monotonic), unless that or a question is under way.
    pub fn next_look(&self, times: &LivenessTimes, pace: Pace) -> Option<Duration> {
        let looks = match (self.look, self.asking) {
            (Look::UnderWay, _) | (_, Asking::Soon) => return None,
            (_, Asking::Since { first, again }) => {
                let give_up = first.saturating_add(times.timeout);
                let again = self.ask_again_at(first, again, times);
                return Some(again.map_or(give_up, |again| again.min(give_up)));
            }
            (Look::Busy, Asking::Not) => BUSY_LOOKS,
            (Look::Idle, Asking::Not) => IDLE_LOOKS,
        };
        // Twice in the interval at least, so that the last packets that came do not count as later ones.
        let slowest = times.interval / IDLE_LOOKS;
        let pause = (basis(times) / looks).max(pace.between.min(slowest));
        let regular = self.looked.saturating_add(pause);
        Some(self.ask_at(times).min(regular).max(self.looked))
    }

    /// When it is to be asked (monotonic), as far as that is known.
    fn ask_at(&self, times: &LivenessTimes) -> Duration {
        let silent = Some(self.heard.saturating_add(times.interval));
        let unanswered = self.unanswered.as_ref().and_then(Outgoing::since);
        let unanswered = unanswered.zip(times.traffic).map(|(since, timeout)| {
            // One-way traffic is asked about ever more seldom.
            let grown = timeout.saturating_mul(2_u32.saturating_pow(self.answers));
            since.saturating_add(grown.min(times.interval.max(timeout)))
        });
        let without_data = self.without_data_at(times).filter(|at| self.heard < *at);
        let all = [silent, unanswered, without_data];
        all.into_iter().flatten().min().unwrap_or(Duration::MAX)
    }

    /// When it is to be asked again (monotonic), unless the answer would not come in time.
    fn ask_again_at(&self, first: Duration, again: u32, times: &LivenessTimes) -> Option<Duration> {
        let pause = self.pause(times.timeout);
        let ask = pause * (again + 1);
        (ask + pause / 2 < times.timeout).then(|| first.saturating_add(ask))
    }

    /// When the lack of ESP is a failure (monotonic), if the gateway answers IKE then.
    fn without_data_at(&self, times: &LivenessTimes) -> Option<Duration> {
        let one_way = self.one_way.as_ref()?;
        let counts = one_way.most >= PACKETS_TO_ANSWER;
        Some(one_way.since.saturating_add(times.data.filter(|_| counts)?))
    }

    /// Whether the gateway has answered IKE since the lack of ESP is a failure.
    fn carries_nothing(&self, times: &LivenessTimes) -> bool {
        let at = self.without_data_at(times);
        at.is_some_and(|at| at <= self.heard)
    }

    /// Between two questions: long enough for the answer to come, as far as that is known, so that a lost
    /// packet is not the gateway's death, and no request is sent without need.
    fn pause(&self, timeout: Duration) -> Duration {
        let shortest = timeout / MOST_QUESTIONS;
        let longest = timeout / FEWEST_QUESTIONS;
        match self.round_trip {
            Some(round_trip) => (round_trip * 2).clamp(shortest, longest),
            None => longest,
        }
    }
}

/// The time that the pauses between looks are parts of.
fn basis(times: &LivenessTimes) -> Duration {
    let traffic = times.traffic.unwrap_or(times.interval);
    traffic.min(times.interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);

    fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn times() -> LivenessTimes {
        LivenessTimes {
            interval: INTERVAL,
            timeout: seconds(2),
            traffic: Some(seconds(2)),
            data: None,
        }
    }

    fn packets(spi: u32, count: u64) -> Packets {
        [(spi, count)].into_iter().collect()
    }

    /// A gateway and the traffic with it, as a simulated clock runs.
    struct Watched {
        liveness: Liveness,
        times: LivenessTimes,
        now: Duration,
        ike_sas: usize,
        /// The packets that have gone out and come in at a time.
        outbound: fn(Duration) -> u64,
        inbound: fn(Duration) -> u64,
        /// What a question is answered after; None if it is not.
        answers: fn(Duration) -> Option<Duration>,
        asked: Vec<Duration>,
        looks: usize,
    }

    impl Watched {
        fn new(times: LivenessTimes) -> Self {
            Self {
                liveness: Liveness::new(Duration::ZERO),
                times,
                now: Duration::ZERO,
                ike_sas: 1,
                outbound: |_| 0,
                inbound: |_| 0,
                answers: |_| None,
                asked: Vec::new(),
                looks: 0,
            }
        }

        /// Until that time, or until it has failed, which is returned with the time of that.
        fn run(&mut self, until: Duration) -> Option<(Duration, Finding)> {
            loop {
                let pace = Pace::of(self.ike_sas);
                let next = self.liveness.next_look(&self.times, pace).expect("a look");
                assert!(next >= self.now, "{next:?} {:?}", self.now);
                if next > until {
                    self.now = until;
                    return None;
                }
                self.now = next;
                match self.look() {
                    Finding::Nothing => {}
                    Finding::Ask(_) => self.ask(),
                    finding => return Some((self.now, finding)),
                }
            }
        }

        fn look(&mut self) -> Finding {
            self.looks += 1;
            let before = self.liveness.look();
            assert_eq!(self.liveness.next_look(&self.times, Pace::of(1)), None);
            let inbound = packets(1, (self.inbound)(self.now));
            let outbound = || packets(2, (self.outbound)(self.now));
            let sample = Sample::new(&before, inbound, outbound);
            self.liveness.looked(sample, self.now, &self.times)
        }

        fn ask(&mut self) {
            self.asked.push(self.now);
            self.liveness.probed(Probed::Asked(self.now), self.now);
            if let Some(round_trip) = (self.answers)(self.now) {
                self.now += round_trip;
                self.liveness.heard(self.now);
            }
        }
    }

    /// A hundred packets a second until that time.
    fn until(seconds: u64) -> impl Fn(Duration) -> u64 {
        move |now| now.min(Duration::from_secs(seconds)).as_millis() as u64 / 10
    }

    fn at_once(_: Duration) -> Option<Duration> {
        Some(millis(5))
    }

    #[test]
    fn an_idle_gateway_that_dies_is_dead_after_both_times() {
        let mut watched = Watched::new(times());
        watched.answers = |now| (now < seconds(15)).then_some(millis(5));
        let dead = watched.run(seconds(60));
        assert_eq!(watched.asked[0], INTERVAL);
        assert_eq!(watched.asked[1], INTERVAL * 2 + millis(5));
        assert_eq!(dead, Some((seconds(22) + millis(5), Finding::Silent)));
    }

    #[test]
    fn a_busy_gateway_that_dies_is_asked_after_the_time_for_traffic() {
        for traffic in [millis(300), seconds(2)] {
            let mut watched = Watched::new(LivenessTimes {
                traffic: Some(traffic),
                ..times()
            });
            watched.outbound = |now| until(1_000)(now);
            watched.inbound = |now| until(7)(now);
            let dead = watched.run(seconds(60));
            // The look that sees the last packets, and the one with which those that go out are compared.
            let latest = seconds(7) + traffic + traffic * 2 / 10;
            let asked = watched.asked[0];
            assert!(
                asked >= seconds(7) + traffic && asked <= latest,
                "{asked:?}"
            );
            assert_eq!(dead, Some((asked + seconds(2), Finding::Silent)));
        }
    }

    #[test]
    fn a_gateway_whose_packets_come_is_not_asked() {
        let mut watched = Watched::new(times());
        watched.outbound = |now| until(1_000)(now);
        watched.inbound = |now| until(1_000)(now);
        assert_eq!(watched.run(seconds(600)), None);
        assert_eq!(watched.asked, []);
    }

    #[test]
    fn a_first_packet_after_a_pause_is_given_its_time() {
        let mut watched = Watched::new(times());
        watched.outbound = |now| u64::from(now > millis(5_500));
        watched.run(seconds(9));
        let asked = watched.asked[0];
        assert!(asked > millis(7_200) && asked < millis(8_500), "{asked:?}");
    }

    #[test]
    fn one_way_traffic_is_asked_about_ever_more_seldom() {
        let mut watched = Watched::new(times());
        watched.outbound = |now| until(1_000)(now);
        watched.answers = at_once;
        assert_eq!(watched.run(seconds(60)), None);
        let pauses: Vec<u64> = watched
            .asked
            .windows(2)
            .map(|pair| (pair[1] - pair[0]).as_secs())
            .collect();
        assert_eq!(pauses, [4, 8, 10, 10, 10, 10]);
    }

    #[test]
    fn packets_that_came_between_make_one_way_traffic_suspicious_again() {
        let mut watched = Watched::new(times());
        watched.outbound = |now| until(1_000)(now);
        watched.inbound = |now| u64::from(now > seconds(30));
        watched.answers = at_once;
        assert_eq!(watched.run(seconds(34)), None);
        let last = *watched.asked.last().expect("a question");
        assert!(last >= seconds(32) && last < seconds(33), "{last:?}");
    }

    #[test]
    fn a_single_packet_without_an_answer_is_asked_about_once() {
        let mut watched = Watched::new(times());
        watched.outbound = |now| u64::from(now > seconds(1));
        watched.answers = at_once;
        assert_eq!(watched.run(seconds(12)), None);
        assert_eq!(watched.asked.len(), 1, "{:?}", watched.asked);
    }

    #[test]
    fn a_data_path_that_is_dead_is_a_failure_where_that_is_asked_for() {
        for traffic in [None, Some(seconds(2)), Some(seconds(60))] {
            let mut watched = Watched::new(LivenessTimes {
                traffic,
                data: Some(seconds(6)),
                ..times()
            });
            watched.outbound = |now| until(1_000)(now);
            watched.inbound = |now| until(20)(now);
            watched.answers = at_once;
            let (at, finding) = watched.run(seconds(60)).expect("a failure");
            assert_eq!(finding, Finding::NoData, "{traffic:?}");
            let looks = 3 * (basis(&watched.times) / BUSY_LOOKS) + millis(5);
            let due = seconds(26);
            assert!(at >= due && at <= due + looks, "{traffic:?} {at:?}");
        }
    }

    #[test]
    fn two_packets_without_an_answer_say_nothing_of_the_data_path() {
        let mut watched = Watched::new(LivenessTimes {
            data: Some(seconds(6)),
            ..times()
        });
        watched.outbound = |now| (now.as_secs() / 5).min(2);
        watched.answers = at_once;
        assert_eq!(watched.run(seconds(120)), None);
    }

    #[test]
    fn a_gateway_that_answers_nothing_is_silent_and_not_without_data() {
        let mut watched = Watched::new(LivenessTimes {
            data: Some(seconds(2)),
            ..times()
        });
        watched.outbound = |now| until(1_000)(now);
        let (_, finding) = watched.run(seconds(60)).expect("a failure");
        assert_eq!(finding, Finding::Silent);
    }

    #[test]
    fn without_a_time_for_traffic_both_others_bound_the_detection() {
        let mut watched = Watched::new(LivenessTimes {
            traffic: None,
            ..times()
        });
        watched.outbound = |now| until(1_000)(now);
        watched.inbound = |now| until(33)(now);
        let (at, finding) = watched.run(seconds(60)).expect("a failure");
        assert_eq!(finding, Finding::Silent);
        assert!(at <= seconds(33 + 10 + 2), "{at:?}");
        assert!(at >= seconds(33 + 10 + 2 - 1), "{at:?}");
    }

    #[test]
    fn packets_while_it_was_asked_are_its_answer() {
        let mut watched = Watched::new(times());
        watched.inbound = |now| u64::from(now > seconds(11));
        assert_eq!(watched.run(seconds(20)), None);
        assert_eq!(watched.asked[0], INTERVAL);
        assert_eq!(watched.liveness.asking, Asking::Not);
    }

    #[test]
    fn a_rekeyed_child_sa_is_no_traffic() {
        let mut liveness = Liveness::new(Duration::ZERO);
        let inbound = packets(1, 7);
        liveness.looked(Sample::Arrived { inbound }, seconds(1), &times());
        let before = liveness.look();
        let outbound = packets(4, 0);
        let sample = Sample::new(&before, packets(3, 0), || outbound.clone());
        assert_eq!(sample, Sample::Still { outbound });
    }

    #[test]
    fn an_idle_tunnel_is_looked_at_once_a_second() {
        let mut watched = Watched::new(times());
        watched.answers = at_once;
        watched.run(seconds(1_000));
        assert!(watched.looks < 1_200, "{}", watched.looks);
    }

    #[test]
    fn many_tunnels_are_looked_at_more_slowly() {
        for (ike_sas, looks) in [(100, 500.0), (1_000, 300.0), (2_000, 400.0)] {
            let mut watched = Watched::new(times());
            watched.ike_sas = ike_sas;
            watched.outbound = |now| until(100_000)(now);
            watched.inbound = |now| until(100_000)(now);
            watched.run(seconds(1_000));
            let all = watched.looks as f64 / 1_000.0 * ike_sas as f64;
            assert!(all <= looks + 1.0, "{ike_sas}: {all}");
        }
    }

    /// How often it is asked from now on until it is given up.
    fn questions(liveness: Liveness) -> usize {
        let mut watched = Watched::new(times());
        watched.now = liveness.heard;
        watched.liveness = liveness;
        watched.liveness.restart(watched.now);
        watched.run(seconds(100));
        watched.asked.len()
    }

    /// After an answer that took so long.
    fn answered_after(round_trip: Duration) -> Liveness {
        let mut liveness = Liveness::new(Duration::ZERO);
        let asked = INTERVAL;
        liveness.asking = Asking::Soon;
        liveness.probed(Probed::Asked(asked), asked);
        liveness.heard(asked + round_trip);
        liveness
    }

    #[test]
    fn a_gateway_of_unknown_round_trips_is_asked_thrice() {
        assert_eq!(questions(Liveness::new(Duration::ZERO)), 3);
    }

    #[test]
    fn one_that_answers_at_once_is_asked_ten_times() {
        assert_eq!(questions(answered_after(millis(5))), 10);
    }

    #[test]
    fn one_that_is_far_is_given_the_time_to_answer() {
        // At 0, 0.6 and 1.2 s; the answer to one at 1.8 s would come too late.
        assert_eq!(questions(answered_after(millis(300))), 3);
    }

    #[test]
    fn an_answer_to_a_repetition_tells_no_round_trip() {
        let mut liveness = Liveness::new(Duration::ZERO);
        liveness.asking = Asking::Since {
            first: seconds(10),
            again: 1,
        };
        liveness.heard(seconds(11));
        assert_eq!(liveness.round_trip, None);
    }
}
