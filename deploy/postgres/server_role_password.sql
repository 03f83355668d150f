-- The password of the inference server's role, from the environment variable SERVER_ROLE_PASSWORD.
\getenv password SERVER_ROLE_PASSWORD
ALTER ROLE kronos_server PASSWORD :'password';
