#ifndef CX_FAULTS_H
#define CX_FAULTS_H

/*
 * Stands between a program (and LMDB in it) and the system's calls that write files: the n-th
 * of them, from when faults_arm() is called, is the one at which the disk is full or the
 * process dies. For programs of tests only; threads may write at the same time.
 *
 * Where COEXIST_TEST_KILL_AT=n is in the environment, the process kills itself at the n-th
 * from its start.
 */
#define FAULT_KILL (-1)

/* `error`: what the n-th and, until faults_disarm(), all later ones fail with; or FAULT_KILL. */
void faults_arm(unsigned long n, int error);
/* How many there were since. */
unsigned long faults_disarm(void);

#endif
