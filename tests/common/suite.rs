//! Every check of the transports' public suite as a test of its own.

/// A module of tests for one subject.
macro_rules! suite {
    ($name:ident, $subject:expr, [$($check:ident),* $(,)?]) => {
        mod $name {
            use super::*;

            $(
                #[tokio::test]
                async fn $check() {
                    talk::testing::transport::$check(&$subject).await;
                }
            )*
        }
    };
    ($name:ident, $subject:expr) => {
        suite!($name, $subject, [
            messages_arrive_in_order,
            concurrent_senders_are_all_heard,
            a_repeated_id_is_heard_once,
            the_limit_is_exact,
            texts_arrive_as_they_are,
            hostile_input_harms_nobody,
            a_full_inbox_keeps_what_it_took,
            a_dropped_send_harms_no_other,
            a_dropped_listen_leaves_the_address_free,
            listening_ends_with_the_incoming,
            a_probe_tells_a_listener_from_nobody,
            foreign_addresses_are_refused,
            a_guard_decides_who_is_heard,
        ]);
    };
}

pub(crate) use suite;
