//! The forms in which commercetools delivers a fact.

use aplomb_state::ids::Timestamp;

use super::{
    body,
    catalog::PROJECT,
    fact::{Change, Fact, Resource},
    json::{Id, Json},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Message,
    /// `payloadNotIncluded`.
    MessageWithoutBody,
    /// The message as structured CloudEvents 1.0, from another subscription.
    CloudEvent,
    /// ResourceCreated or ResourceUpdated: that it changed, not how.
    ResourceChange,
}

/// What no contract allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bad {
    /// Cut off on its way: no JSON.
    Truncated,
    UnknownNotificationType,
    /// Of the staging environment.
    WrongProject,
    WithoutResource,
}

const BY_THE_SHOP: &str = concat!(
    r#""createdBy":{"clientId":"ey8aTsYwE0_kxFvT1rJeglpC"},"#,
    r#""lastModifiedBy":{"clientId":"ey8aTsYwE0_kxFvT1rJeglpC"}"#,
);
const BY_ORDER_MANAGEMENT: &str = concat!(
    r#""createdBy":{"clientId":"oms-eu-prod","externalUserId":"svc-oms-sync"},"#,
    r#""lastModifiedBy":{"clientId":"oms-eu-prod","externalUserId":"svc-oms-sync"}"#,
);

const STAGING: &str = "acme-eu-staging";

pub(super) fn render(fact: &Fact, form: Form) -> Vec<u8> {
    let mut json = Json::object(size_hint(fact));
    match (form, fact.change.message_type()) {
        (Form::ResourceChange, _) | (_, None) => change(&mut json, fact),
        (Form::Message, Some(message_type)) => {
            message(&mut json, fact, message_type, PROJECT);
        }
        (Form::MessageWithoutBody, Some(message_type)) => {
            envelope(&mut json, fact, PROJECT);
            json.open("payloadNotIncluded");
            json.text("reason", "Payload too large.");
            json.text("payloadType", message_type);
            json.close();
        }
        (Form::CloudEvent, Some(message_type)) => cloud_event(&mut json, fact, message_type),
    }
    json.finish()
}

pub(super) fn render_bad(fact: &Fact, bad: Bad) -> Vec<u8> {
    let message_type = fact.change.message_type().unwrap_or("OrderStateChanged");
    match bad {
        Bad::Truncated => {
            let mut bytes = render(fact, Form::Message);
            bytes.truncate(bytes.len() * 2 / 3);
            bytes
        }
        Bad::WrongProject => {
            let mut json = Json::object(size_hint(fact));
            message(&mut json, fact, message_type, STAGING);
            json.finish()
        }
        Bad::UnknownNotificationType => {
            let mut json = Json::object(256);
            json.text("notificationType", "ResourceArchived");
            json.text("projectKey", PROJECT);
            resource(&mut json, fact);
            json.count("version", fact.version);
            json.time("modifiedAt", fact.at);
            json.finish()
        }
        Bad::WithoutResource => {
            let mut json = Json::object(256);
            json.text("notificationType", "Message");
            json.text("projectKey", PROJECT);
            json.id("id", fact.id);
            json.count("sequenceNumber", fact.sequence);
            json.count("resourceVersion", fact.version);
            json.text("type", message_type);
            json.time("createdAt", fact.at);
            json.finish()
        }
    }
}

/// What commercetools sends when a subscription is created.
pub(super) fn subscription_test(id: Id, at: Timestamp) -> Vec<u8> {
    let mut json = Json::object(256);
    json.text("notificationType", "ResourceCreated");
    json.text("projectKey", PROJECT);
    json.reference("resource", "subscription", id);
    json.count("version", 1);
    json.time("modifiedAt", at);
    json.finish()
}

fn cloud_event(json: &mut Json, fact: &Fact, message_type: &str) {
    let (type_id, plural) = match fact.resource {
        Resource::Order(_) => ("order", "orders"),
        Resource::Entry(_) => ("inventory-entry", "inventory"),
        Resource::Payment(_) => ("payment", "payments"),
    };
    json.id("id", fact.id);
    json.format("source", format_args!("/{PROJECT}/{plural}"));
    json.text("specversion", "1.0");
    json.format("type", format_args!("com.commercetools.{type_id}.message.{message_type}"));
    json.id("subject", resource_id(fact));
    json.time("time", fact.at);
    json.format("dataref", format_args!("/{PROJECT}/messages/{}", fact.id));
    json.format("sequence", format_args!("{}", fact.sequence));
    json.text("sequencetype", "Integer");
    json.open("data");
    message(json, fact, message_type, PROJECT);
    json.close();
}

fn change(json: &mut Json, fact: &Fact) {
    let created = fact.change.creates();
    let kind = if created { "ResourceCreated" } else { "ResourceUpdated" };
    json.text("notificationType", kind);
    json.text("projectKey", PROJECT);
    resource(json, fact);
    identifiers(json, fact);
    json.count("version", fact.version);
    if !created {
        json.count("oldVersion", fact.version.saturating_sub(1));
    }
    json.time("modifiedAt", fact.at);
}

fn message(json: &mut Json, fact: &Fact, message_type: &str, project: &str) {
    envelope(json, fact, project);
    json.text("type", message_type);
    body::write(json, fact);
}

fn envelope(json: &mut Json, fact: &Fact, project: &str) {
    json.text("notificationType", "Message");
    json.text("projectKey", project);
    json.id("id", fact.id);
    json.count("version", 1);
    json.count("sequenceNumber", fact.sequence);
    resource(json, fact);
    json.count("resourceVersion", fact.version);
    identifiers(json, fact);
    json.time("createdAt", fact.at);
    json.time("lastModifiedAt", fact.at);
    let client = match fact.change {
        _ if fact.change.creates() => BY_THE_SHOP,
        Change::OrderState { .. } => BY_ORDER_MANAGEMENT,
        _ => return,
    };
    json.raw(client);
}

fn resource(json: &mut Json, fact: &Fact) {
    let type_id = match fact.resource {
        Resource::Order(_) => "order",
        Resource::Entry(_) => "inventory-entry",
        Resource::Payment(_) => "payment",
    };
    json.reference("resource", type_id, resource_id(fact));
}

fn resource_id(fact: &Fact) -> Id {
    match &fact.resource {
        Resource::Order(order) => order.id,
        Resource::Entry(entry) => entry.id,
        Resource::Payment(payment) => payment.id,
    }
}

fn identifiers(json: &mut Json, fact: &Fact) {
    json.open("resourceUserProvidedIdentifiers");
    match &fact.resource {
        Resource::Order(order) => {
            json.format("orderNumber", format_args!("EU-{}", order.number));
        }
        Resource::Entry(entry) => {
            let (sku, channel) = (&entry.product.sku, entry.channel.key());
            json.format("key", format_args!("{sku}_{channel}"));
        }
        Resource::Payment(payment) => {
            json.format("key", format_args!("pay-{}", payment.number));
        }
    }
    json.close();
}

fn size_hint(fact: &Fact) -> usize {
    match &fact.resource {
        Resource::Order(order) if matches!(fact.change, Change::OrderCreated) => {
            3_072 + 2_048 * order.lines.len()
        }
        _ => 1_024,
    }
}
