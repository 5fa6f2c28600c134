#ifndef CX_NOTIFY_H
#define CX_NOTIFY_H

/*
 * The service manager, behind process.h. Nothing
 * happens without NOTIFY_SOCKET, or where it was configured out.
 */
void notify_ready(void);

#endif
