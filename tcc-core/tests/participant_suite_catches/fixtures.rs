//! What a fixture is told, and what is said of one that is wrong.

use std::collections::BTreeMap;
use std::sync::Mutex;

use tcc_core::testing::{ParticipantFixture, ParticipantSuite, participant_cases};
use tcc_core::{Branch, Never, SettleError, Settled, Tried, participant};

/// A call looks as a coordinator's does.
mod told {
    use std::sync::Arc;
    use std::time::Duration;

    use tcc_core::protocol::Phase;

    use super::*;

    #[derive(Clone, Default)]
    struct Ear {
        heard: Arc<Mutex<Vec<(Phase, u32)>>>,
    }

    #[participant("ear")]
    impl Ear {
        #[action(confirm = listen, cancel = none)]
        async fn hear(&self, cx: &Branch, _: ()) -> Tried<(), Never> {
            assert!(!cx.is_on_confirm());
            self.note(cx, "ear.hear");
            Ok(())
        }

        async fn listen(&self, cx: &Branch, _: (), _: ()) -> Settled {
            self.note(cx, "ear.hear");
            Ok(())
        }

        #[on_confirm]
        async fn whisper(&self, cx: &Branch, _: ()) -> Settled {
            assert!(cx.is_on_confirm());
            self.note(cx, "ear.whisper");
            Ok(())
        }
    }

    impl Ear {
        fn note(&self, cx: &Branch, action: &str) {
            assert_eq!(cx.action().as_str(), action);
            assert!(cx.deadline().unwrap() > tokio::time::Instant::now());
            let since_2026 = cx.begun().duration_since(std::time::UNIX_EPOCH).unwrap();
            assert!(since_2026 > Duration::from_secs(1_767_000_000), "{since_2026:?}");
            self.heard.lock().unwrap().push((cx.phase(), cx.attempt()));
        }
    }

    macro_rules! fixture {
        ($fixture:ident: $action:ident) => {
            struct $fixture(Ear);

            impl ParticipantFixture for $fixture {
                type Action = $action;
                type Service = Ear;
                type State = ();

                const CANCEL: bool = false;

                async fn start() -> Self {
                    Self(Ear::default())
                }

                fn service(&self) -> &Ear {
                    &self.0
                }

                fn request(&self, _: u32) {}

                fn refused(&self) -> Option<()> {
                    None
                }

                async fn state(&self) {}
            }
        };
    }

    fixture!(Hear: EarHear);
    fixture!(Whisper: EarWhisper);

    async fn heard<F: ParticipantFixture>(ear: Ear, fixture: fn(Ear) -> F) -> Vec<(Phase, u32)> {
        let heard = ear.heard.clone();
        let suite = ParticipantSuite::starting(move || std::future::ready(fixture(ear.clone())));
        let case = participant_cases()
            .iter()
            .find(|case| case.name() == "a_repeated_confirm_has_one_effect")
            .unwrap();
        case.run(&suite).await.unwrap();
        std::mem::take(&mut *heard.lock().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_are_counted_by_phase() {
        // Before the first of these, or after it, are plain runs: from them the suite learns what *taken* looks like.
        let repeats = [(Phase::Confirm, 2), (Phase::Confirm, 3)];
        let hear = heard(Ear::default(), Hear).await;
        assert!(hear.contains(&(Phase::Try, 1)) && hear.ends_with(&repeats), "{hear:?}");
        let whisper = heard(Ear::default(), Whisper).await;
        assert!(whisper.contains(&(Phase::Confirm, 1)) && whisper.ends_with(&repeats), "{whisper:?}");
    }
}

/// What only these shapes can break.
mod caught {
    use super::*;

    /// Its request can't be JSON: the keys of a map are text there.
    struct Map;

    #[participant("map")]
    impl Map {
        #[on_confirm]
        async fn draw(&self, _: &Branch, _: BTreeMap<(u8, u8), u8>) -> Settled {
            Ok(())
        }
    }

    struct Draw(Map);

    impl ParticipantFixture for Draw {
        type Action = MapDraw;
        type Service = Map;
        type State = ();

        async fn start() -> Self {
            Self(Map)
        }

        fn service(&self) -> &Map {
            &self.0
        }

        fn request(&self, _: u32) -> BTreeMap<(u8, u8), u8> {
            BTreeMap::from([((1, 2), 3)])
        }

        fn refused(&self) -> Option<BTreeMap<(u8, u8), u8>> {
            None
        }

        async fn state(&self) {}
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_can_not_be_written() {
        let promise = promise_that_breaks::<Draw>("every_phase_is_answered").await;
        assert!(promise.contains("can be written to the log"), "{promise}");
    }

    /// Breaks promises that the shapes above keep.
    struct Flawed {
        done: Mutex<u32>,
    }

    #[participant("post")]
    impl Flawed {
        /// A repeat sends another letter.
        #[on_confirm]
        async fn send(&self, _: &Branch, _: ()) -> Settled {
            *self.done.lock().unwrap() += 1;
            Ok(())
        }

        /// It has no cancel, and would need one.
        #[action(cancel = none)]
        async fn stamp(&self, _: &Branch, _: ()) -> Tried<(), Never> {
            *self.done.lock().unwrap() = 1;
            Ok(())
        }

        /// It says never to whatever comes after the try.
        #[action(confirm = never, cancel = never_either)]
        async fn weigh(&self, _: &Branch, _: ()) -> Tried<(), Never> {
            Ok(())
        }

        async fn never(&self, _: &Branch, _: (), _: ()) -> Settled {
            Err(SettleError::refuse("never"))
        }

        async fn never_either(&self, _: &Branch, _: (), _: Option<()>) -> Settled {
            Err(SettleError::refuse("never"))
        }
    }

    macro_rules! fixture {
        ($fixture:ident: $action:ident, $confirm:literal, $cancel:literal) => {
            struct $fixture(Flawed);

            impl ParticipantFixture for $fixture {
                type Action = $action;
                type Service = Flawed;
                type State = u32;

                const CONFIRM: bool = $confirm;
                const CANCEL: bool = $cancel;

                async fn start() -> Self {
                    Self(Flawed { done: Mutex::new(0) })
                }

                fn service(&self) -> &Flawed {
                    &self.0
                }

                fn request(&self, _: u32) {}

                fn refused(&self) -> Option<()> {
                    None
                }

                async fn state(&self) -> u32 {
                    *self.0.done.lock().unwrap()
                }
            }
        };
    }

    fixture!(Send: FlawedSend, true, true);
    fixture!(Stamp: FlawedStamp, false, false);
    fixture!(WeighWithoutConfirm: FlawedWeigh, false, true);
    fixture!(WeighWithoutCancel: FlawedWeigh, true, false);

    async fn promise_that_breaks<F: ParticipantFixture>(case: &str) -> &'static str {
        let case = participant_cases().iter().find(|of| of.name() == case).unwrap();
        case.run(&ParticipantSuite::of::<F>()).await.unwrap_err().promise
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_is_sent_twice() {
        for case in [
            "a_repeated_confirm_has_one_effect",
            "two_confirms_at_once_have_one_effect",
            "a_dropped_confirm_is_whole_or_absent",
            "every_order_of_phases_keeps_the_promises",
        ] {
            promise_that_breaks::<Send>(case).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_try_without_a_cancel_that_takes_something() {
        let promise = promise_that_breaks::<Stamp>("a_cancel_gives_back_what_the_try_took").await;
        assert!(promise.contains("has no cancel has nothing to undo"), "{promise}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_phase_that_the_fixture_says_it_has_not() {
        let promise = promise_that_breaks::<WeighWithoutConfirm>("every_phase_is_answered").await;
        assert!(promise.contains("the confirm of an action that has none"), "{promise}");
        let promise =
            promise_that_breaks::<WeighWithoutCancel>("a_cancel_gives_back_what_the_try_took").await;
        assert!(promise.contains("the cancel of an action that has none"), "{promise}");
    }
}
