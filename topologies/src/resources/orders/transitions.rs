//! The three state dimensions of an order and which changes between states are legal, as tables.

use serde::{Deserialize, Serialize};

/// A dimension of an order's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Dimension {
    Order,
    Payment,
    Shipment,
}

/// All states of all dimensions. orderState spells Cancelled, shipmentState Canceled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum State {
    Open,
    Confirmed,
    Complete,
    Cancelled,
    BalanceDue,
    Failed,
    Pending,
    CreditOwed,
    Paid,
    Shipped,
    Delivered,
    Ready,
    Delayed,
    Partial,
    Backorder,
    Canceled,
}

/// What the table says of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The same state again.
    Same,
    Legal,
    Warned,
    Illegal,
    /// Out of a state that nothing should leave.
    TerminalLeft,
}

use self::{Change::Legal, Change::Warned as Warn, State::*};

type Row = (Option<State>, &'static [(State, Change)]);

const ORDER: &[Row] = &[
    (Some(Open), &[(Confirmed, Legal), (Cancelled, Legal), (Complete, Warn)]),
    (Some(Confirmed), &[(Complete, Legal), (Cancelled, Legal), (Open, Warn)]),
    (Some(Complete), &[]),
    (Some(Cancelled), &[]),
];

// NOTE: Failed → Paid, Paid → BalanceDue and Paid → Failed depend on payments, see
// [`depends_on_payments`]. By itself such a change is legal with a warning.
const PAYMENT: &[Row] = &[
    (
        None,
        &[
            (BalanceDue, Legal),
            (Failed, Legal),
            (Pending, Legal),
            (CreditOwed, Legal),
            (Paid, Legal),
        ],
    ),
    (Some(BalanceDue), &[(Pending, Legal), (Paid, Legal), (Failed, Legal), (CreditOwed, Legal)]),
    (Some(Pending), &[(Paid, Legal), (Failed, Legal), (BalanceDue, Legal), (CreditOwed, Legal)]),
    (Some(Failed), &[(Pending, Legal), (BalanceDue, Legal), (Paid, Warn)]),
    (Some(Paid), &[(CreditOwed, Legal), (BalanceDue, Warn), (Failed, Warn)]),
    (Some(CreditOwed), &[(Paid, Legal), (BalanceDue, Legal)]),
];

const NOT_SHIPPED_YET: &[(State, Change)] = &[
    (Pending, Legal),
    (Ready, Legal),
    (Delayed, Legal),
    (Backorder, Legal),
    (Partial, Legal),
    (Shipped, Legal),
    (Canceled, Legal),
];

const IN_PREPARATION: &[(State, Change)] = &[
    (Ready, Legal),
    (Delayed, Legal),
    (Backorder, Legal),
    (Partial, Legal),
    (Shipped, Legal),
    (Canceled, Legal),
    (Pending, Warn),
];

const SHIPMENT: &[Row] = &[
    (None, NOT_SHIPPED_YET),
    (Some(Pending), NOT_SHIPPED_YET),
    (Some(Ready), IN_PREPARATION),
    (Some(Delayed), IN_PREPARATION),
    (Some(Backorder), IN_PREPARATION),
    (Some(Partial), &[(Shipped, Legal), (Delayed, Legal), (Backorder, Legal), (Delivered, Warn)]),
    (Some(Shipped), &[(Delivered, Legal), (Partial, Warn)]),
    (Some(Delivered), &[]),
    (Some(Canceled), &[(Ready, Warn)]),
];

/// Whether a closed order may be opened again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reopen {
    Forbidden,
    Warned,
}

/// Judges one change. An absent `from` is a dimension that had no state, except for orderState,
/// which an order always has: there it means that the old state is not known.
pub fn judge(dimension: Dimension, from: Option<State>, to: State, reopen: Reopen) -> Change {
    if from == Some(to) {
        return Change::Same;
    }
    if dimension == Dimension::Order && from.is_none() {
        return Warn;
    }
    let rows = match dimension {
        Dimension::Order => ORDER,
        Dimension::Payment => PAYMENT,
        Dimension::Shipment => SHIPMENT,
    };
    let row = rows.iter().find(|(state, _)| *state == from);
    let listed = row.and_then(|(_, targets)| targets.iter().find(|(target, _)| *target == to));
    match (listed, from) {
        (Some((_, change)), _) => *change,
        (None, Some(Complete)) if to == Confirmed && reopen == Reopen::Warned => Warn,
        (None, Some(Complete | Cancelled)) => Change::TerminalLeft,
        (None, _) => Change::Illegal,
    }
}

/// Whether a change of paymentState needs something to be true of the order's payments.
pub fn depends_on_payments(from: Option<State>, to: State) -> bool {
    matches!((from, to), (Some(Failed), Paid) | (Some(Paid), BalanceDue | Failed))
}

impl Dimension {
    /// Its name as a field of an order.
    pub fn name(self) -> &'static str {
        match self {
            Self::Order => "orderState",
            Self::Payment => "paymentState",
            Self::Shipment => "shipmentState",
        }
    }

    fn states(self) -> &'static [State] {
        match self {
            Self::Order => &[Open, Confirmed, Complete, Cancelled],
            Self::Payment => &[BalanceDue, Failed, Pending, CreditOwed, Paid],
            Self::Shipment => {
                &[Shipped, Delivered, Ready, Pending, Delayed, Partial, Backorder, Canceled]
            }
        }
    }

    /// The state of that name, if the dimension has it.
    pub fn state(self, name: &str) -> Option<State> {
        self.states().iter().copied().find(|state| state.name() == name)
    }
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            Open => "Open",
            Confirmed => "Confirmed",
            Complete => "Complete",
            Cancelled => "Cancelled",
            BalanceDue => "BalanceDue",
            Failed => "Failed",
            Pending => "Pending",
            CreditOwed => "CreditOwed",
            Paid => "Paid",
            Shipped => "Shipped",
            Delivered => "Delivered",
            Ready => "Ready",
            Delayed => "Delayed",
            Partial => "Partial",
            Backorder => "Backorder",
            Canceled => "Canceled",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every pair of states: one letter per target, in the order of [`Dimension::states`].
    /// `l` legal, `w` warned, `x` illegal, `t` terminal left, `-` the same.
    #[test]
    fn every_pair_of_states_is_judged() {
        let rows: [(Dimension, Option<State>, &str); 20] = [
            (Dimension::Order, None, "wwww"),
            (Dimension::Order, Some(Open), "-lwl"),
            (Dimension::Order, Some(Confirmed), "w-ll"),
            (Dimension::Order, Some(Complete), "tt-t"),
            (Dimension::Order, Some(Cancelled), "ttt-"),
            // BalanceDue Failed Pending CreditOwed Paid
            (Dimension::Payment, None, "lllll"),
            (Dimension::Payment, Some(BalanceDue), "-llll"),
            (Dimension::Payment, Some(Failed), "l-lxw"),
            (Dimension::Payment, Some(Pending), "ll-ll"),
            (Dimension::Payment, Some(CreditOwed), "lxx-l"),
            (Dimension::Payment, Some(Paid), "wwxl-"),
            // Shipped Delivered Ready Pending Delayed Partial Backorder Canceled
            (Dimension::Shipment, None, "lxllllll"),
            (Dimension::Shipment, Some(Shipped), "-lxxxwxx"),
            (Dimension::Shipment, Some(Delivered), "x-xxxxxx"),
            (Dimension::Shipment, Some(Ready), "lx-wllll"),
            (Dimension::Shipment, Some(Pending), "lxl-llll"),
            (Dimension::Shipment, Some(Delayed), "lxlw-lll"),
            (Dimension::Shipment, Some(Partial), "lwxxl-lx"),
            (Dimension::Shipment, Some(Backorder), "lxlwll-l"),
            (Dimension::Shipment, Some(Canceled), "xxwxxxx-"),
        ];
        for (dimension, from, expected) in rows {
            let judged: String = dimension
                .states()
                .iter()
                .map(|to| match judge(dimension, from, *to, Reopen::Forbidden) {
                    Change::Same => '-',
                    Legal => 'l',
                    Change::Warned => 'w',
                    Change::Illegal => 'x',
                    Change::TerminalLeft => 't',
                })
                .collect();
            assert_eq!(judged, expected, "{dimension:?} from {from:?}");
        }
    }

    #[test]
    fn a_shop_may_allow_reopening() {
        let rows = [
            (Complete, Confirmed, Reopen::Warned, Change::Warned),
            (Complete, Confirmed, Reopen::Forbidden, Change::TerminalLeft),
            (Complete, Open, Reopen::Warned, Change::TerminalLeft),
            (Cancelled, Confirmed, Reopen::Warned, Change::TerminalLeft),
        ];
        for (from, to, reopen, expected) in rows {
            let judged = judge(Dimension::Order, Some(from), to, reopen);
            assert_eq!(judged, expected, "{from:?} {to:?} {reopen:?}");
        }
    }

    #[test]
    fn names_belong_to_their_dimension() {
        for dimension in [Dimension::Order, Dimension::Payment, Dimension::Shipment] {
            for state in dimension.states() {
                assert_eq!(dimension.state(state.name()), Some(*state));
            }
        }
        assert_eq!(Dimension::Order.state("Canceled"), None);
        assert_eq!(Dimension::Shipment.state("Cancelled"), None);
    }
}
