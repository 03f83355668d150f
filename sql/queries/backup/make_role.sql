-- A role that holds privileges and can't log in before its operator gives it a password and LOGIN.
CREATE ROLE {role} NOLOGIN
