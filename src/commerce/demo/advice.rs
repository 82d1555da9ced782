//! The next action for a case, in the words of those who take it.

const ADVICE: [(&str, &str); 21] = [
    ("OVERSOLD", "buy in or move stock, or tell the customers who must wait"),
    ("INV_ONHAND", "have the location counted, then correct the side that is wrong"),
    ("CT_RELEASE_PENDING", "put the cancelled units back on stock in commercetools"),
    ("STALE_SNAPSHOT", "ask the warehouse why an older count came after a newer one"),
    ("ORDER_SHIPPED_UNPAID", "collect the payment, or stop the parcel"),
    ("ORDER_CANCELLED_AFTER_SHIP", "call the parcel back, or reopen the order"),
    ("ORDER_OVERDELIVERED", "ask the customer to keep or return what came on top"),
    ("ORDER_COMPLETE_NOT_SHIPPED", "ship what is missing, or correct the order's state"),
    ("ORDER_ILLEGAL_TRANSITION", "find out who set the state, and set the one that is true"),
    ("ORDER_TERMINAL_LEFT", "place a new order instead of reviving a closed one"),
    ("ORDER_VIEW_DIVERGED", "fetch the order again from commercetools"),
    ("SEQUENCE_GAP", "fetch the resource again from commercetools"),
    ("SILENT_CHANGE", "fetch the resource again from commercetools"),
    ("PAYLOAD_MISSING", "fetch the order by its id; it is held until then"),
    ("ENV_MISMATCH", "take the staging subscription off this topic"),
    ("MALFORMED_JSON", "repair the dead letter, and look at the sender's connection"),
    ("CONTRACT_VIOLATION", "repair the dead letter, and tell the sender what is missing"),
    ("UNKNOWN_NOTIFICATION_TYPE", "tell platform-eng: commercetools sends something new"),
    ("UNKNOWN_MESSAGE_TYPE", "decide whether the new fact is of use"),
    ("HISTORY_MISSING", "none, unless the history is needed: then load a snapshot"),
    ("RESERVE_NO_ENTRY", "create the inventory entry, or correct the order's channel"),
];

pub(super) fn next_action(code: &str) -> &'static str {
    let known = ADVICE.iter().find(|(known, _)| *known == code);
    known.map_or("open the case: it lists what can be done", |(_, action)| action)
}

/// The codes there is advice for.
#[cfg(test)]
pub(super) fn codes() -> impl Iterator<Item = &'static str> {
    ADVICE.iter().map(|(code, _)| *code)
}
