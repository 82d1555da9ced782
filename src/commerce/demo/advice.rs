//! The next action for a case, in the words of those who take it.

const ADVICE: [(&str, &str); 56] = [
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
    ("INV_CT_OVERSTATED", "set commercetools' stock to the count less what orders hold"),
    ("INV_UNEXPLAINED_DELTA", "find out who changed the stock in commercetools"),
    ("INV_INVARIANT", "tell platform-eng: the ledger contradicts itself"),
    ("RETURN_NOT_RESTOCKED", "ask the warehouse where the returned goods are"),
    ("RESERVE_SKU_MISSING", "give the line's variant a sku"),
    ("RESERVE_LINE_UNKNOWN", "fetch the order again from commercetools"),
    ("RESERVE_ENTRY_DELETED", "create the inventory entry again, or move the orders"),
    ("EDIT_BELOW_SHIPPED", "agree with the customer on what is shipped already"),
    ("ORDER_SHIP_QTY", "ship the rest, or set the shipment to Partial"),
    ("SHIPPED_NO_DELIVERY", "add the delivery, or take the state back"),
    ("ORDER_LINE_STATE_SUM", "correct the states of the line's units"),
    ("ORDER_STUCK", "find out what the order waits for"),
    ("ORDER_REJECTED", "mend what was refused, and hand the order over again"),
    ("ORDER_STATE_DESYNC", "correct the system that is wrong about the order"),
    ("ORDER_UNKNOWN_IN_CT", "find the order in commercetools, or cancel it there"),
    ("ORDER_COMPLETE_UNPAID", "collect the payment, or reopen the order"),
    ("STATUS_INCOMPATIBLE", "correct the custom state, or the order's"),
    ("IDENT_DUPLICATE", "give one of the orders another number"),
    ("IDENT_MISSING", "give the order its number"),
    ("REFUND_EXCEEDS_CAPTURE", "stop the refund, or claim it back"),
    ("CURRENCY_MISMATCH", "find out in which currency was paid"),
    ("REFUND_MISMATCH", "compare the refund with what came back"),
    ("RETURN_REFUND_MISSING", "refund, or correct the return's payment state"),
    ("CANCELLED_NOT_REFUNDED", "refund the cancelled order"),
    ("RETURN_EXCEEDS_DELIVERED", "have the return counted"),
    ("PAYMENT_STATE_LAG", "set the order's payment state to what was captured"),
    ("PAYMENT_AMOUNT", "compare the payment with the order's total"),
    ("PAYMENT_TX_UNKNOWN", "fetch the payment again from commercetools"),
    ("PAID_NOT_CAPTURED", "capture the payment, or take the state back"),
    ("ORPHAN_PAYMENT", "find the order of the payment, or refund it"),
    ("ORDER_DELETED_WITH_CAPTURE", "refund the payment of the deleted order"),
    ("PII_ERASURE_PENDING", "none until it is due: then make sure that it is gone"),
    ("CLOCK_SKEW", "set the sender's clock"),
    ("DUPLICATE_CONFLICT", "ask the sender why one id told two facts"),
    ("SEQUENCE_CONFLICT", "ask the sender why one number told two facts"),
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
