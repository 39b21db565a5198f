// The part of noVNC's interface that the page uses; the package comes without types.

declare module '@novnc/novnc' {
  /** What carries its bytes where no address does: the shape of a WebSocket. */
  export interface RfbChannel {
    binaryType: string;
    readonly protocol: string;
    readonly readyState: string;
    onopen: (() => void) | null;
    onmessage: ((event: { readonly data: ArrayBuffer }) => void) | null;
    onclose: ((event: { readonly code: number; readonly reason: string }) => void) | null;
    onerror: ((event: unknown) => void) | null;
    send(data: ArrayBuffer | Uint8Array): void;
    close(): void;
  }

  export default class RFB extends EventTarget {
    constructor(target: HTMLElement, channel: RfbChannel, options?: { readonly shared?: boolean });
    viewOnly: boolean;
    scaleViewport: boolean;
    focusOnClick: boolean;
    background: string;
    disconnect(): void;
    focus(): void;
    blur(): void;
    sendCtrlAltDel(): void;
  }
}
