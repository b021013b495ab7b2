//! Why a test failed, said again after everything else it prints: whoever reads a log that was cut short reads its end.

use std::cell::RefCell;
use std::sync::Once;

/// Characters of a reason that are said again; its beginning says most.
const SHOWN_MAX: usize = 2_000;

thread_local! {
    static REASON: RefCell<String> = const { RefCell::new(String::new()) };
}

/// From now on panics are remembered, each in its thread.
pub fn remember() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            REASON.with_borrow_mut(|reason| *reason = info.to_string().chars().take(SHOWN_MAX).collect());
            before(info);
        }));
    });
}

/// The last panic of this thread.
pub fn last() -> String {
    REASON.with_borrow(Clone::clone)
}
