//! What scenarios are made of: short inputs written out to what commercetools delivers, and
//! expected records compared field by field.

pub mod build;
pub mod compare;
