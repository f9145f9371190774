// bare carries bytes between clients without TLS and a Redis with it, and does
// nothing else: one thread, epoll, OpenSSL, and for each batch the two reads and
// the two writes that no proxy with an upstream for each client can do without. It
// does not authenticate, follow, count or limit anything, and ends with the first
// thing that it does not expect.
//
// Usage: bare PORT REDIS-PORT CA-FILE NAME
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { AT_ONCE = 256 << 10 };

// side is one of the two ends of a client's way to Redis.
struct side {
	int fd;
	SSL *tls; // NULL on the client's side
	struct side *other;
	char *rest; // what the system has not taken yet, or NULL
	size_t left, done;
	int reads; // whether its socket is read from
};

static int epoll;
static char buffer[AT_ONCE];

static void fail(const char *what) {
	perror(what);
	ERR_print_errors_fp(stderr);
	exit(1);
}

static void watch(int op, struct side *s) {
	struct epoll_event e = {.events = (s->reads ? EPOLLIN : 0) | (s->rest ? EPOLLOUT : 0), .data.ptr = s};
	if (epoll_ctl(epoll, op, s->fd, &e)) fail("epoll_ctl");
}

static void hurry(int fd) {
	int on = 1;
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on)) fail("TCP_NODELAY");
	if (fcntl(fd, F_SETFL, O_NONBLOCK)) fail("O_NONBLOCK");
}

// writes writes what is taken at once, and returns how much, or -1 at the end.
static ssize_t writes(struct side *s, const char *b, size_t n) {
	size_t done = 0;
	while (done < n) {
		ssize_t k = s->tls ? SSL_write(s->tls, b + done, n - done) : write(s->fd, b + done, n - done);
		if (k > 0) {
			done += k;
		} else if (s->tls ? SSL_get_error(s->tls, k) == SSL_ERROR_WANT_WRITE : errno == EAGAIN) {
			break;
		} else {
			return -1;
		}
	}
	return done;
}

// carry reads what has come from a side and gives that to the other. It returns 0 at the end.
static int carry(struct side *s) {
	do {
		ssize_t n = s->tls ? SSL_read(s->tls, buffer, AT_ONCE) : read(s->fd, buffer, AT_ONCE);
		if (n <= 0) return s->tls ? SSL_get_error(s->tls, n) == SSL_ERROR_WANT_READ : n < 0 && errno == EAGAIN;
		struct side *to = s->other;
		ssize_t k = writes(to, buffer, n);
		if (k < 0) return 0;
		if (k < n) {
			if (!(to->rest = malloc(n - k))) fail("malloc");
			memcpy(to->rest, buffer + k, to->left = n - k);
			to->done = s->reads = 0;
			watch(EPOLL_CTL_MOD, to);
			watch(EPOLL_CTL_MOD, s);
		}
	} while (s->reads && s->tls && SSL_has_pending(s->tls));
	return 1;
}

// goes_on writes what has been left. It returns 0 at the end.
static int goes_on(struct side *s) {
	ssize_t k = writes(s, s->rest + s->done, s->left - s->done);
	if (k < 0) return 0;
	if ((s->done += k) < s->left) return 1;
	free(s->rest);
	s->rest = NULL;
	s->other->reads = 1;
	watch(EPOLL_CTL_MOD, s);
	watch(EPOLL_CTL_MOD, s->other);
	return carry(s->other); // something may have been read, and not had
}

static void end(struct side *s) {
	struct side *client = s->tls ? s->other : s, *redis = client->other;
	SSL_free(redis->tls);
	close(redis->fd);
	close(client->fd);
	free(redis->rest);
	free(client->rest);
	client->fd = redis->fd = -1; // events of this turn may still name them
}

static void begin(int fd, const struct sockaddr_in *redis, SSL_CTX *ctx, const char *name) {
	struct side *both = calloc(2, sizeof *both);
	if (!both) fail("calloc");
	struct side *c = &both[0], *r = &both[1];
	*c = (struct side){.fd = fd, .other = r, .reads = 1};
	*r = (struct side){.fd = socket(AF_INET, SOCK_STREAM, 0), .tls = SSL_new(ctx), .other = c, .reads = 1};
	if (connect(r->fd, (const struct sockaddr *)redis, sizeof *redis)) fail("connect");
	if (!SSL_set_tlsext_host_name(r->tls, name) || !SSL_set1_host(r->tls, name) || !SSL_set_fd(r->tls, r->fd)) fail("TLS");
	if (SSL_connect(r->tls) != 1) fail("handshake");
	hurry(c->fd);
	hurry(r->fd);
	watch(EPOLL_CTL_ADD, c);
	watch(EPOLL_CTL_ADD, r);
}

int main(int argc, char **argv) {
	if (argc != 5) {
		fprintf(stderr, "usage: bare PORT REDIS-PORT CA-FILE NAME\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files)) fail("getrlimit");
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files)) fail("setrlimit");
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	if (!ctx || !SSL_CTX_load_verify_locations(ctx, argv[3], NULL)) fail(argv[3]);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384"); // as crypto/tls
	SSL_CTX_set_read_ahead(ctx, 1); // one system call for many records
	SSL_CTX_set_default_read_buffer_len(ctx, AT_ONCE);

	struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in redis = here;
	redis.sin_port = htons(atoi(argv[2]));
	struct side door = {.fd = socket(AF_INET, SOCK_STREAM, 0), .reads = 1};
	int on = 1;
	setsockopt(door.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(door.fd, (struct sockaddr *)&here, sizeof here) || listen(door.fd, 4096)) fail("listen");
	fcntl(door.fd, F_SETFL, O_NONBLOCK);
	if ((epoll = epoll_create1(0)) < 0) fail("epoll_create1");
	watch(EPOLL_CTL_ADD, &door);

	for (;;) {
		struct epoll_event events[256];
		struct side *ended[256];
		int n = epoll_wait(epoll, events, 256, -1), over = 0;
		for (int i = 0; i < n; i++) {
			struct side *s = events[i].data.ptr;
			if (s == &door) {
				for (int fd; (fd = accept(door.fd, NULL, NULL)) >= 0;) begin(fd, &redis, ctx, argv[4]);
			} else if (s->fd >= 0) {
				int stays = !(events[i].events & (EPOLLERR | EPOLLHUP));
				if (stays && events[i].events & EPOLLOUT) stays = goes_on(s);
				if (stays && events[i].events & EPOLLIN && s->reads) stays = carry(s);
				if (!stays) end(ended[over++] = s->tls ? s->other : s);
			}
		}
		while (over) free(ended[--over]);
	}
}
