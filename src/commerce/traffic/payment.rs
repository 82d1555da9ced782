//! Payments: what happens to them beside their orders, and the bodies of their messages.

use std::sync::Arc;

use aplomb_state::ids::Timestamp;

use super::{
    courier::{Courier, Fate},
    fact::{Change, Fact, Resource},
    json::{Id, Json},
    life::Life,
    world::World,
};

#[derive(Debug)]
pub(super) struct Payment {
    pub id: Id,
    /// Of its order, as the payment provider was told.
    pub number: u64,
    pub cents: i64,
}

/// A payment under way.
pub(super) struct Account {
    pub payment: Arc<Payment>,
    /// And version: every change of a payment tells of itself.
    sequence: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Authorization,
    Charge,
    Refund,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Transaction {
    pub id: Id,
    pub kind: Kind,
    pub cents: i64,
    pub state: &'static str,
}

pub(super) fn created(json: &mut Json, payment: &Payment, first: &Transaction, at: Timestamp) {
    json.open("payment");
    json.id("id", payment.id);
    json.count("version", 1);
    json.time("createdAt", at);
    json.time("lastModifiedAt", at);
    json.format("key", format_args!("pay-{}", payment.number));
    json.format("interfaceId", format_args!("psp-{}", payment.id));
    json.money("amountPlanned", payment.cents);
    json.raw(
        r#""paymentMethodInfo":{"paymentInterface":"psp","method":"CREDIT_CARD"},"paymentStatus":{}"#,
    );
    json.open_list("transactions");
    json.open_item();
    fields(json, first, at);
    json.close();
    json.close_list();
    json.raw(r#""interfaceInteractions":[]"#);
    json.close();
}

pub(super) fn transaction(json: &mut Json, transaction: &Transaction, at: Timestamp) {
    json.open("transaction");
    fields(json, transaction, at);
    json.close();
}

fn fields(json: &mut Json, transaction: &Transaction, at: Timestamp) {
    json.id("id", transaction.id);
    json.time("timestamp", at);
    json.text("type", transaction.kind.name());
    json.money("amount", transaction.cents);
    json.text("state", transaction.state);
}

/// In an order: what pays for it.
pub(super) fn info(json: &mut Json, payment: Id) {
    json.open("paymentInfo");
    json.open_list("payments");
    json.open_item();
    json.text("typeId", "payment");
    json.id("id", payment);
    json.close();
    json.close_list();
    json.close();
}

// === impl Kind ===

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Authorization => "Authorization",
            Self::Charge => "Charge",
            Self::Refund => "Refund",
        }
    }
}

// === impl Account ===

impl Account {
    fn fact(&mut self, at: Timestamp, id: Id, change: Change) -> Fact {
        self.sequence += 1;
        let resource = Resource::Payment(Arc::clone(&self.payment));
        Fact { resource, id, sequence: self.sequence, version: self.sequence, at, change }
    }
}

// === impl World ===

impl World {
    /// The shop's checkout lets the provider authorise before it places the order.
    pub(super) fn authorise(
        &mut self,
        at: Timestamp,
        payment: Payment,
        courier: &mut Courier,
    ) -> Account {
        self.open_account(at, payment, Kind::Authorization, courier)
    }

    /// Money is taken, and no order ever names the payment.
    pub(super) fn take_for_nothing(&mut self, at: Timestamp, cents: i64, courier: &mut Courier) {
        let payment = Payment { id: self.id(), number: 0, cents };
        self.open_account(at, payment, Kind::Charge, courier);
    }

    fn open_account(
        &mut self,
        at: Timestamp,
        payment: Payment,
        kind: Kind,
        courier: &mut Courier,
    ) -> Account {
        let first = Transaction { id: self.id(), kind, cents: payment.cents, state: "Success" };
        let mut account = Account { payment: Arc::new(payment), sequence: 0 };
        let id = self.id();
        courier.tell(account.fact(at, id, Change::PaymentCreated(first)), Fate::Usual);
        account
    }

    /// The provider takes the money, or does not: at first it does not know.
    pub(super) fn charge(
        &mut self,
        at: Timestamp,
        life: &mut Life,
        (cents, state): (i64, &'static str),
        courier: &mut Courier,
    ) {
        let pending = (Kind::Charge, cents, "Pending");
        let Some(transaction) = self.transact(at, life, pending, courier) else { return };
        let Some(account) = life.account.as_mut() else { return };
        let id = self.id();
        let change = Change::TransactionState { transaction, state };
        courier.tell(account.fact(at, id, change), Fate::Usual);
    }

    /// A further transaction of the order's payment, where the shop tells of payments.
    pub(super) fn transact(
        &mut self,
        at: Timestamp,
        life: &mut Life,
        (kind, cents, state): (Kind, i64, &'static str),
        courier: &mut Courier,
    ) -> Option<Id> {
        let account = life.account.as_mut().filter(|_| cents > 0)?;
        let transaction = Transaction { id: self.id(), kind, cents, state };
        let id = self.id();
        courier.tell(account.fact(at, id, Change::Transaction(transaction)), Fate::Usual);
        Some(transaction.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commerce::traffic::catalog::CURRENCY;

    #[test]
    fn a_payment_is_json_of_commercetools_shape() {
        let first = Transaction {
            id: Id::from_random(1),
            kind: Kind::Charge,
            cents: 1_250,
            state: "Success",
        };
        let payment = Payment { id: Id::from_random(2), number: 7, cents: 1_250 };
        let mut json = Json::object(512);
        created(&mut json, &payment, &first, Timestamp(0));
        let value: serde_json::Value = serde_json::from_slice(&json.finish()).expect("JSON");
        let transaction = &value["payment"]["transactions"][0];
        assert_eq!(transaction["type"], "Charge");
        assert_eq!(transaction["amount"]["centAmount"], 1_250);
        assert_eq!(transaction["amount"]["currencyCode"], CURRENCY);
        assert_eq!(value["payment"]["amountPlanned"]["fractionDigits"], 2);
    }
}
