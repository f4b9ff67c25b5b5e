/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One thread in each system call that sleeps. None of them may come back, least of all with EINTR,
 * because somebody looked at the process.
 *
 *   victim_syscalls [SECONDS]         the time-out of those that have one (3600)
 *   call NAME TID
 *   skip NAME REASON
 *   answer to any question: waiting NAME, or returned NAME VALUE ERRNO MILLISECONDS, for each
 *   answer to "wake": the pipe and the condition are served first, so that two calls come back
 * right
 */
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>

#include "victim.h"

enum { WAITING, RETURNED, UNAVAILABLE };

struct call {
	const char *name;
	long (*run)(void);
	pid_t tid;
	int state;
	long value;
	int error;
	long ms;             /* how long it took */
	const char *missing; /* why it could not be made */
};

static struct timespec timeout = {.tv_sec = 3600};
static __thread struct call *self;
static int wake_pipe[2];
static uint32_t wake_futex;
static const char *lock_name = "lock";

static long unavailable(const char *why)
{
	self->missing = why;
	return -1;
}

static int quiet_pipe(void)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		die("pipe2");
	return fds[0];
}

static int quiet_socket(int type)
{
	int fds[2];

	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds))
		die("socketpair");
	return fds[0];
}

static char one_byte[1];

static int with_timeout(int fd, int option)
{
	struct timeval value = {.tv_sec = timeout.tv_sec};

	if (setsockopt(fd, SOL_SOCKET, option, &value, sizeof(value)))
		die("setsockopt");
	return fd;
}

static int timeout_ms(void)
{
	return (int)timeout.tv_sec * 1000;
}

static long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Writes until nothing more fits. */
static int full(int fd)
{
	static const char block[4096];
	int flags = fcntl(fd, F_GETFL);

	fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	while (write(fd, block, sizeof(block)) > 0 || write(fd, block, 1) > 0)
		;
	fcntl(fd, F_SETFL, flags);
	return fd;
}

static sigset_t waited_for(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	return set;
}

static long run_nanosleep(void)
{
	return nanosleep(&timeout, NULL);
}

static long run_clock_nanosleep(void)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout.tv_sec;
	errno = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
	return errno ? -1 : 0;
}

static long run_poll(void)
{
	struct pollfd fd = {.fd = quiet_pipe(), .events = POLLIN};

	return poll(&fd, 1, timeout_ms());
}

static long run_ppoll(void)
{
	struct pollfd fd = {.fd = quiet_pipe(), .events = POLLIN};
	struct timespec left = timeout;

	return ppoll(&fd, 1, &left, NULL);
}

static long run_select(void)
{
	struct timeval left = {.tv_sec = timeout.tv_sec};
	int fd = quiet_pipe();
	fd_set set;

	FD_ZERO(&set);
	FD_SET(fd, &set);
	return select(fd + 1, &set, NULL, NULL, &left);
}

static long run_pselect(void)
{
	sigset_t mask = waited_for();
	int fd = quiet_pipe();
	fd_set set;

	FD_ZERO(&set);
	FD_SET(fd, &set);
	return pselect(fd + 1, &set, NULL, NULL, NULL, &mask);
}

static long futex(uint32_t *word, int op, uint32_t value, const struct timespec *until)
{
	return syscall(SYS_futex, word, op, value, until, NULL, FUTEX_BITSET_MATCH_ANY);
}

static long run_futex(void)
{
	return futex(&wake_futex, FUTEX_WAIT_PRIVATE, 0, NULL);
}

static long run_futex_timeout(void)
{
	static uint32_t word;

	return futex(&word, FUTEX_WAIT_PRIVATE, 0, &timeout);
}

static long run_cond_wait(void)
{
	static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;

	pthread_mutex_lock(&mutex);
	return pthread_cond_wait(&cond, &mutex);
}

static int quiet_epoll(void)
{
	struct epoll_event event = {.events = EPOLLIN};
	int fd = epoll_create1(EPOLL_CLOEXEC);

	if (fd < 0 || epoll_ctl(fd, EPOLL_CTL_ADD, quiet_pipe(), &event))
		die("epoll");
	return fd;
}

static long run_epoll_wait(void)
{
	struct epoll_event event;

	return epoll_wait(quiet_epoll(), &event, 1, -1);
}

static long run_epoll_wait_timeout(void)
{
	struct epoll_event event;

	return epoll_wait(quiet_epoll(), &event, 1, timeout_ms());
}

static long run_epoll_pwait(void)
{
	struct epoll_event event;
	sigset_t mask = waited_for();

	return epoll_pwait(quiet_epoll(), &event, 1, -1, &mask);
}

static long run_read_pipe(void)
{
	char byte;

	return read(wake_pipe[0], &byte, 1);
}

static long run_read_eventfd(void)
{
	uint64_t value;

	return read(eventfd(0, EFD_CLOEXEC), &value, sizeof(value));
}

static long run_read_timerfd(void)
{
	struct itimerspec timer = {.it_value = timeout};
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	uint64_t value;

	timerfd_settime(fd, 0, &timer, NULL);
	return read(fd, &value, sizeof(value));
}

static long run_read_inotify(void)
{
	char event[512];
	int fd = inotify_init1(IN_CLOEXEC);

	if (fd < 0)
		return unavailable("no inotify instance");
	return read(fd, event, sizeof(event));
}

static long run_read_sock_timeout(void)
{
	int fd = with_timeout(quiet_socket(SOCK_STREAM), SO_RCVTIMEO);
	char byte;

	return read(fd, &byte, 1);
}

static long run_recvmsg(void)
{
	char byte;
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	return recvmsg(quiet_socket(SOCK_DGRAM), &msg, 0);
}

static int quiet_listener(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 1))
		die("listen");
	return fd;
}

static long run_accept(void)
{
	return accept(quiet_listener(), NULL, NULL);
}

static int quiet_semaphore(void)
{
	int id = semget(IPC_PRIVATE, 1, 0600);

	if (id < 0)
		die("semget");
	emit("sem %d", id);
	return id;
}

static long run_semop(void)
{
	struct sembuf down = {.sem_op = -1};

	return semop(quiet_semaphore(), &down, 1);
}

static long run_semtimedop(void)
{
	struct sembuf down = {.sem_op = -1};

	return semtimedop(quiet_semaphore(), &down, 1, &timeout);
}

static long run_msgrcv(void)
{
	struct {
		long type;
		char text[8];
	} message;
	int id = msgget(IPC_PRIVATE, 0600);

	if (id < 0)
		die("msgget");
	emit("msq %d", id);
	return msgrcv(id, &message, sizeof(message.text), 0, 0);
}

static long run_sigtimedwait(void)
{
	sigset_t set = waited_for();

	return sigtimedwait(&set, NULL, &timeout);
}

static long run_sigwaitinfo(void)
{
	sigset_t set = waited_for();

	return sigwaitinfo(&set, NULL);
}

static long run_sigsuspend(void)
{
	sigset_t mask = waited_for();

	return sigsuspend(&mask);
}

static long run_pause(void)
{
	return pause();
}

static long run_wait4(void)
{
	return waitpid(-1, NULL, __WNOTHREAD);
}

static long run_wait4_child(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	emit("child %d", pid);
	return run_wait4();
}

static long run_io_getevents(void)
{
	struct io_event event;
	aio_context_t context = 0;

	if (syscall(SYS_io_setup, 1, &context))
		return unavailable("no io_setup()");
	return syscall(SYS_io_getevents, context, 1L, 1L, &event, NULL);
}

static long run_io_uring(void)
{
	struct io_uring_params params = {0};
	long fd = syscall(SYS_io_uring_setup, 4, &params);

	if (fd < 0)
		return unavailable("no io_uring_setup()");
	return syscall(SYS_io_uring_enter, fd, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0);
}

static int lock_open(void)
{
	int fd = open(lock_name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		die(lock_name);
	return fd;
}

static long run_flock(void)
{
	flock(lock_open(), LOCK_EX);
	return flock(lock_open(), LOCK_EX);
}

static long run_setlkw(void)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};

	if (fcntl(lock_open(), F_OFD_SETLK, &lock))
		die("F_OFD_SETLK");
	return fcntl(lock_open(), F_SETLKW, &lock);
}

static long run_mq_receive(void)
{
	struct mq_attr attr = {.mq_maxmsg = 1, .mq_msgsize = 8};
	char name[32], text[8];
	mqd_t queue;

	snprintf(name, sizeof(name), "/victim.%d", getpid());
	queue = mq_open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600, &attr);
	if (queue == (mqd_t)-1)
		return unavailable("no mq_open()");
	mq_unlink(name);
	return mq_receive(queue, text, sizeof(text), NULL);
}

static long run_open_fifo(void)
{
	if (mkfifo("fifo", 0600) && errno != EEXIST)
		die("mkfifo");
	return open("fifo", O_RDONLY | O_CLOEXEC);
}

/* Less usual ones, and each kind that signal(7) names. */

static long run_clock_nanosleep_relative(void)
{
	errno = clock_nanosleep(CLOCK_MONOTONIC, 0, &timeout, NULL);
	return errno ? -1 : 0;
}

static long run_ppoll_mask(void)
{
	struct pollfd fd = {.fd = quiet_pipe(), .events = POLLIN};
	struct timespec left = timeout;
	sigset_t mask = waited_for();

	return ppoll(&fd, 1, &left, &mask);
}

static long run_futex_waitv(void)
{
#ifdef SYS_futex_waitv
	static uint32_t word;
	struct {
		uint64_t value, address;
		uint32_t flags, reserved;
	} waiter = {.address = (uintptr_t)&word, .flags = 2 /* FUTEX_32 */ | FUTEX_PRIVATE_FLAG};

	syscall(SYS_futex_waitv, &waiter, 1, 0, NULL, 0);
	if (errno == ENOSYS)
		return unavailable("no futex_waitv()");
	return -1;
#else
	return unavailable("no futex_waitv()");
#endif
}

static uint32_t pi_word;

static long run_futex_lock_pi(void)
{
	/* its owner is the first thread */
	__atomic_store_n(&pi_word, (uint32_t)getpid(), __ATOMIC_RELEASE);
	return syscall(SYS_futex, &pi_word, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0);
}

static long run_sem_timedwait(void)
{
	static sem_t sem;
	struct timespec until;

	sem_init(&sem, 0, 0);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += timeout.tv_sec;
	return sem_timedwait(&sem, &until);
}

static long run_epoll_pwait2(void)
{
#ifdef SYS_epoll_pwait2
	struct epoll_event event;
	int64_t left[2] = {timeout.tv_sec, 0};
	long r = syscall(SYS_epoll_pwait2, quiet_epoll(), &event, 1, left, NULL, 0);

	if (r < 0 && errno == ENOSYS)
		return unavailable("no epoll_pwait2()");
	return r;
#else
	return unavailable("no epoll_pwait2()");
#endif
}

static long run_read_signalfd(void)
{
	struct signalfd_siginfo info;
	sigset_t set = waited_for();

	return read(signalfd(-1, &set, SFD_CLOEXEC), &info, sizeof(info));
}

static long run_read_tty(void)
{
	char byte;
	int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), tty;

	if (fd < 0 || grantpt(fd) || unlockpt(fd))
		return unavailable("no pseudo-terminal");
	tty = open(ptsname(fd), O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (tty < 0)
		return unavailable("no pseudo-terminal");
	return read(tty, &byte, 1);
}

static long run_write_pipe(void)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		die("pipe2");
	return write(full(fds[1]), "x", 1);
}

static long run_splice(void)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		die("pipe2");
	return splice(quiet_pipe(), NULL, fds[1], NULL, 1, 0);
}

static long run_tee(void)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		die("pipe2");
	return tee(quiet_pipe(), fds[1], 1, 0);
}

static long run_accept_timeout(void)
{
	return accept(with_timeout(quiet_listener(), SO_RCVTIMEO), NULL, NULL);
}

static long run_recv_timeout(void)
{
	char byte;

	return recv(with_timeout(quiet_socket(SOCK_STREAM), SO_RCVTIMEO), &byte, 1, 0);
}

static long run_recvmsg_timeout(void)
{
	char byte;
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	return recvmsg(with_timeout(quiet_socket(SOCK_DGRAM), SO_RCVTIMEO), &msg, 0);
}

static long run_recvmmsg_timeout(void)
{
	char byte;
	struct iovec iov = {&byte, 1};
	struct mmsghdr msg = {.msg_hdr = {.msg_iov = &iov, .msg_iovlen = 1}};

	return recvmmsg(with_timeout(quiet_socket(SOCK_DGRAM), SO_RCVTIMEO), &msg, 1, 0, NULL);
}

static long run_readv_timeout(void)
{
	char byte;
	struct iovec iov = {&byte, 1};

	return readv(with_timeout(quiet_socket(SOCK_STREAM), SO_RCVTIMEO), &iov, 1);
}

static long run_preadv2_timeout(void)
{
	char byte;
	struct iovec iov = {&byte, 1};

	return preadv2(with_timeout(quiet_socket(SOCK_STREAM), SO_RCVTIMEO), &iov, 1, -1, 0);
}

static int full_socket(void)
{
	return full(with_timeout(quiet_socket(SOCK_STREAM), SO_SNDTIMEO));
}

static long run_send_timeout(void)
{
	return send(full_socket(), "x", 1, MSG_NOSIGNAL);
}

static long run_sendmsg_timeout(void)
{
	struct iovec iov = {one_byte, 1};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	return sendmsg(full_socket(), &msg, MSG_NOSIGNAL);
}

static long run_sendmmsg_timeout(void)
{
	struct iovec iov = {one_byte, 1};
	struct mmsghdr msg = {.msg_hdr = {.msg_iov = &iov, .msg_iovlen = 1}};

	return sendmmsg(full_socket(), &msg, 1, MSG_NOSIGNAL);
}

static long run_write_sock_timeout(void)
{
	return write(full_socket(), "x", 1);
}

static long run_writev_timeout(void)
{
	struct iovec iov = {one_byte, 1};

	return writev(full_socket(), &iov, 1);
}

static long run_pwritev2_timeout(void)
{
	struct iovec iov = {one_byte, 1};

	return pwritev2(full_socket(), &iov, 1, -1, 0);
}

static long run_sendfile_timeout(void)
{
	return sendfile(full_socket(), open("/proc/self/exe", O_RDONLY | O_CLOEXEC), NULL, 4096);
}

static long run_splice_timeout(void)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) || write(fds[1], "x", 1) != 1)
		die("pipe2");
	return splice(fds[0], NULL, full_socket(), NULL, 1, 0);
}

/* The queue of the listening socket is full. */
static long run_connect_timeout(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	socklen_t len = sizeof(sa_family_t);
	int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), client;

	/* a name of the kernel's choice */
	if (server < 0 || bind(server, (struct sockaddr *)&address, len))
		die("bind");
	len = sizeof(address);
	if (listen(server, 0) || getsockname(server, (struct sockaddr *)&address, &len))
		die("listen");
	client = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	while (connect(client, (struct sockaddr *)&address, len) == 0)
		client = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	client = with_timeout(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), SO_SNDTIMEO);
	return connect(client, (struct sockaddr *)&address, len);
}

static long run_msgsnd(void)
{
	struct {
		long type;
		char text[1024];
	} message = {.type = 1};
	int id = msgget(IPC_PRIVATE, 0600);

	if (id < 0)
		die("msgget");
	emit("msq %d", id);
	while (msgsnd(id, &message, sizeof(message.text), IPC_NOWAIT) == 0)
		;
	return msgsnd(id, &message, sizeof(message.text), 0);
}

static mqd_t queue_open(char kind)
{
	struct mq_attr attr = {.mq_maxmsg = 1, .mq_msgsize = 8};
	char name[32];
	mqd_t queue;

	snprintf(name, sizeof(name), "/victim.%c.%d", kind, getpid());
	queue = mq_open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600, &attr);
	if (queue != (mqd_t)-1)
		mq_unlink(name);
	return queue;
}

static long run_mq_timedreceive(void)
{
	mqd_t queue = queue_open('r');
	struct timespec until;
	char text[8];

	if (queue == (mqd_t)-1)
		return unavailable("no mq_open()");
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += timeout.tv_sec;
	return mq_timedreceive(queue, text, sizeof(text), NULL, &until);
}

static long run_mq_send(void)
{
	mqd_t queue = queue_open('s');

	if (queue == (mqd_t)-1)
		return unavailable("no mq_open()");
	mq_send(queue, "x", 1, 0);
	return mq_send(queue, "x", 1, 0);
}

static long run_ofd_setlkw(void)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 8, .l_len = 1};

	if (fcntl(lock_open(), F_OFD_SETLK, &lock))
		die("F_OFD_SETLK");
	return fcntl(lock_open(), F_OFD_SETLKW, &lock);
}

static long run_waitid(void)
{
	siginfo_t info;
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	emit("child %d", pid);
	return waitid(P_PID, (id_t)pid, &info, WEXITED);
}

#define CALL(call_name)                                                                            \
	{                                                                                          \
		.name = #call_name, .run = run_##call_name                                         \
	}

static struct call calls[] = {
	CALL(nanosleep),
	CALL(clock_nanosleep),
	CALL(poll),
	CALL(ppoll),
	CALL(select),
	CALL(pselect),
	CALL(futex),
	CALL(futex_timeout),
	CALL(cond_wait),
	CALL(epoll_wait),
	CALL(epoll_pwait),
	CALL(epoll_wait_timeout),
	CALL(read_pipe),
	CALL(read_eventfd),
	CALL(read_timerfd),
	CALL(read_inotify),
	CALL(recvmsg),
	CALL(read_sock_timeout),
	CALL(accept),
	CALL(semop),
	CALL(semtimedop),
	CALL(msgrcv),
	CALL(sigtimedwait),
	CALL(sigwaitinfo),
	CALL(sigsuspend),
	CALL(pause),
	CALL(wait4_child),
	CALL(io_getevents),
	CALL(io_uring),
	CALL(flock),
	CALL(setlkw),
	CALL(mq_receive),
	CALL(open_fifo),
	CALL(clock_nanosleep_relative),
	CALL(ppoll_mask),
	CALL(futex_waitv),
	CALL(futex_lock_pi),
	CALL(sem_timedwait),
	CALL(epoll_pwait2),
	CALL(read_signalfd),
	CALL(read_tty),
	CALL(write_pipe),
	CALL(splice),
	CALL(tee),
	CALL(accept_timeout),
	CALL(recv_timeout),
	CALL(recvmsg_timeout),
	CALL(recvmmsg_timeout),
	CALL(readv_timeout),
	CALL(preadv2_timeout),
	CALL(send_timeout),
	CALL(sendmsg_timeout),
	CALL(sendmmsg_timeout),
	CALL(write_sock_timeout),
	CALL(writev_timeout),
	CALL(pwritev2_timeout),
	CALL(sendfile_timeout),
	CALL(splice_timeout),
	CALL(connect_timeout),
	CALL(msgsnd),
	CALL(mq_timedreceive),
	CALL(mq_send),
	CALL(ofd_setlkw),
	CALL(waitid),
};

static void *start(void *arg)
{
	long value, began = now_ms();

	self = arg;
	prctl(PR_SET_NAME, self->name);
	__atomic_store_n(&self->tid, victim_tid(), __ATOMIC_RELEASE);
	errno = 0;
	value = self->run();
	self->ms = now_ms() - began;
	self->value = value;
	self->error = value < 0 ? errno : 0;
	__atomic_store_n(&self->state, self->missing ? UNAVAILABLE : RETURNED, __ATOMIC_RELEASE);
	for (;;)
		pause();
	return NULL;
}

static void call_start(struct call *call)
{
	victim_thread(start, call);
	while (!__atomic_load_n(&call->tid, __ATOMIC_ACQUIRE))
		msleep(1);
	/* What comes before the call may sleep as well, but not as long as this. */
	msleep(2);
	wait_blocked(call->tid, -1);
	if (__atomic_load_n(&call->state, __ATOMIC_ACQUIRE) == UNAVAILABLE)
		emit("skip %s %s", call->name, call->missing);
	else
		emit("call %s %d", call->name, call->tid);
}

static void answer(const char *question)
{
	if (strcmp(question, "wake") == 0) {
		if (write(wake_pipe[1], "x", 1) != 1)
			die("write");
		__atomic_store_n(&wake_futex, 1, __ATOMIC_RELEASE);
		futex(&wake_futex, FUTEX_WAKE_PRIVATE, 1, NULL);
		msleep(100);
	}
	for (size_t i = 0; i < N_ELEMENTS(calls); i++) {
		struct call *call = &calls[i];

		switch (__atomic_load_n(&call->state, __ATOMIC_ACQUIRE)) {
		case WAITING:
			emit("waiting %s", call->name);
			break;
		case RETURNED:
			emit("returned %s %ld %d %ld", call->name, call->value, call->error,
			     call->ms);
			break;
		}
	}
}

int main(int argc, char **argv)
{
	sigset_t set = waited_for();

	if (argc > 1)
		timeout.tv_sec = atol(argv[1]);
	victim_begin();
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (pipe2(wake_pipe, O_CLOEXEC))
		die("pipe2");
	for (size_t i = 0; i < N_ELEMENTS(calls); i++)
		call_start(&calls[i]);
	victim_serve(answer);
}
