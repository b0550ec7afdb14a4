mod model;
mod policies;
mod properties;
mod table;
